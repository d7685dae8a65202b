"""What a request for a sample looks like: one function a protocol and format."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from benchmarks.serving.models import ServedModel
from benchmarks.serving.samples import Sample

Format = Literal["json", "binary", "jpeg"]
FORMATS: tuple[Format, ...] = ("json", "binary", "jpeg")
JSON = "application/json"
OCTETS = "application/octet-stream"
BOUNDARY = "benchmark"
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Call:
    """One POST request."""

    path: str
    content_type: str
    body: bytes
    header_length: int | None = None  # of the JSON before binary tensors

    def encoded(self, port: int) -> bytes:
        """The bytes that go over the wire."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
        ]
        if self.header_length is not None:
            lines.append(f"{HEADER_LENGTH}: {self.header_length}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


Caller = Callable[[ServedModel, Sample], Call]
Callers = Mapping[Format, Caller]


def plain_json(path: str) -> Caller:
    """`{"input": […]}`, flat."""
    return lambda _, sample: Call(path, JSON, _dump({"input": sample.tensor.ravel()}))


def rows_json(path: str) -> Caller:
    """`{"inputs": [[…]]}`: a batch of one row, which the server puts together with others."""
    return lambda _, sample: Call(path, JSON, _dump({"inputs": [sample.tensor.ravel()]}))


def plain_bytes(path: str) -> Caller:
    """The tensor's float32 values and nothing else."""
    return lambda _, sample: Call(path, OCTETS, sample.tensor.tobytes())


def plain_jpeg(path: str) -> Caller:
    """The picture and nothing else; the model's name goes into the path where it has a place."""
    return lambda model, sample: Call(path.format(model.name), "image/jpeg", sample.jpeg)


def form(path: str, part: str, content: Callable[[Sample], bytes]) -> Caller:
    """A file in a form, under the name of the part."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part}"; filename="{part}"\r\n'
    start = f"{head}Content-Type: {OCTETS}\r\n\r\n".encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return lambda _, sample: Call(path, kind, start + content(sample) + end)


def protocol_json(path: str) -> Caller:
    """The Open Inference Protocol's JSON, flat."""

    def call(model: ServedModel, sample: Sample) -> Call:
        tensor = {**_tensor(model), "data": sample.tensor.ravel()}
        return Call(path.format(model.name), JSON, _dump({"inputs": [tensor]}))

    return call


def protocol_binary(path: str) -> Caller:
    """The same with the tensors in binary, there and back."""

    def call(model: ServedModel, sample: Sample) -> Call:
        data = sample.tensor.tobytes()
        tensor = {**_tensor(model), "parameters": {"binary_data_size": len(data)}}
        head = _dump({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        return Call(path.format(model.name), OCTETS, head + data, header_length=len(head))

    return call


def protocol_base64(path: str) -> Caller:
    """The same with a picture as base64 in a tensor of BYTES, as MLServer has it."""

    def call(_: ServedModel, sample: Sample) -> Call:
        tensor = {
            "name": "image",
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"content_type": "base64"},
            "data": [base64.b64encode(sample.jpeg).decode()],
        }
        return Call(path, JSON, _dump({"inputs": [tensor]}))

    return call


def instances_base64(path: str) -> Caller:
    """A picture as base64 in the first protocol of KServe."""

    def call(_: ServedModel, sample: Sample) -> Call:
        picture = base64.b64encode(sample.jpeg).decode()
        return Call(path, JSON, _dump({"instances": [{"image": {"b64": picture}}]}))

    return call


def _tensor(model: ServedModel) -> dict[str, Any]:
    return {"name": model.input, "shape": [1, *model.shape], "datatype": "FP32"}


def _dump(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
