"""What is whole and right, and is damaged by the searches."""

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from service.rpc.messages import protocol
from tests.chaos.load import get_request, infer_request
from tests.service import zoo

LENGTH = "Inference-Header-Content-Length: "

PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--x--\r\n"


def pictures() -> list[bytes]:
    """Real photographs, small, in every format and some of their odd forms."""
    from sklearn.datasets import (  # type: ignore[import-untyped]  # it has no types
        load_sample_images,
    )

    found = []
    for photograph in load_sample_images().images:
        small = Image.fromarray(photograph).resize((24, 16))
        forms: list[tuple[Image.Image, str, dict[str, Any]]] = [
            (small, "JPEG", {"quality": 60, "exif": _exif()}),
            (small, "JPEG", {"progressive": True}),
            (small.convert("CMYK"), "JPEG", {}),
            (small, "PNG", {"exif": _exif()}),
            (small.convert("P"), "PNG", {"transparency": 3}),
            (small.convert("L").convert("I;16"), "PNG", {}),
            (small, "PNG", {"save_all": True, "append_images": [small.rotate(90)]}),
            (small, "WEBP", {"lossless": True}),
            (small, "WEBP", {"save_all": True, "append_images": [small.rotate(90)]}),
            (small, "MPO", {"save_all": True, "append_images": [small.rotate(90)]}),
            (small, "GIF", {}),
        ]
        found += [_file(*form) for form in forms]
    return found


def _file(image: Image.Image, kind: str, options: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 6  # Orientation
    return found


def tensors() -> list[bytes]:
    """Bodies of ``/infer`` behind the name of their model and the length of their JSON."""
    row = np.array([[1, 2, 3]], np.float32).tobytes()
    x = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    texts = x | {"datatype": "BYTES"}
    image = {"name": "x", "shape": [1], "datatype": "BYTES"}
    return [
        _json("m", x | {"data": [1, 2, 3.5]}),
        _json("m", x | {"data": [[1, 2, 3]]}, id="1", parameters={"timeout": 9}),
        _json("m", x | {"data": [1, 2, 3]}, outputs=[{"name": "y", "parameters": _BINARY}]),
        _json("m", x | {"data": [1, 2, 3]}, outputs=[{"name": "y", "parameters": _CLASSES}]),
        _binary("m", row, x),
        b"m 0\n" + row,
        _json("texts", texts | {"data": ["a", "\u00e9", ""]}),
        _binary("texts", b"\1\0\0\0a\0\0\0\0\2\0\0\0\xc3\xa9", texts),
        _json("truths", x | {"datatype": "BOOL", "data": [True, False, 1]}),
        _binary("truths", b"\0\1\1", x | {"datatype": "BOOL"}),
        _json("whole", x | {"datatype": "INT64", "data": [1, -(2**63), 2**63 - 1]}),
        _json("small", x | {"datatype": "UINT8", "data": [0, 255, 1.0]}),
        _binary("small", b"\0\1\2", x | {"datatype": "UINT8"}),
        _json("half", x | {"datatype": "FP16", "data": [0.5, -0.0, 65504]}),
        b"half 0\n" + bytes(6),
        _json("alone", x | {"datatype": "FP64", "shape": [], "data": [1e300]}),
        _json("two", *(_pair(name) | {"data": [1, 2]} for name in "ab")),
        _binary("two", bytes(16), *(_pair(name) for name in "ab")),
        _json("image", image | {"data": [{"b64": "/9j/4AAQSkZJRg=="}]}),
        _binary("image", b"\4\0\0\0\xff\xd8\xff\xe0", image),
        b"image 0\n\xff\xd8\xff\xe0",
    ]


_BINARY = {"binary_data": True}
_CLASSES = {"classification": 2}


def _pair(name: str) -> dict[str, Any]:
    return {"name": name, "shape": [1, 2], "datatype": "FP32"}


def _json(model: str, *inputs: Any, **more: Any) -> bytes:
    return model.encode() + b"\n" + json.dumps({"inputs": inputs} | more).encode()


def _binary(model: str, contents: bytes, *inputs: Any) -> bytes:
    size = {"binary_data_size": len(contents) // len(inputs)}
    document = {"inputs": [each | {"parameters": size} for each in inputs]}
    text = json.dumps(document | {"parameters": {"binary_data_output": True}}).encode()
    return b"%b %d\n%b%b" % (model.encode(), len(text), text, contents)


def predictions() -> list[bytes]:
    """Bodies of ``:predict`` behind the name of their model."""
    documents: list[tuple[str, Any]] = [
        ("m", {"instances": [[1, 2, 3], [4.5, 5, 6]]}),
        ("m", {"inputs": [[1, 2, 3]], "signature_name": "serving_default"}),
        ("m", {"instances": [{"x": [1, 2, 3]}]}),
        ("two", {"instances": [{"a": [1, 2], "b": [3, 4]}]}),
        ("two", {"inputs": {"a": [[1, 2]], "b": [[3, 4]]}}),
        ("texts", {"instances": [["a", {"b64": "w6k="}, ""]]}),
        ("alone", {"inputs": 1.5}),
        ("image", {"instances": [{"b64": "/9j/4AAQSkZJRg=="}]}),
        ("image", {"instances": [{"x": {"b64": "/9j/4AAQSkZJRg=="}}]}),
        ("image", {"inputs": {"b64": "/9j/4AAQSkZJRg=="}}),
    ]
    return [name.encode() + b"\n" + json.dumps(each).encode() for name, each in documents]


def calls() -> list[bytes]:
    """Messages of ``ModelInfer``, in every form of contents."""
    request = protocol().messages.ModelInferRequest
    x: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 3]}
    row = np.array([1, 2, 3], np.float32).tobytes()
    image = {"name": "x", "datatype": "BYTES", "shape": [1]}
    file = pictures()[1]
    messages: list[dict[str, Any]] = [
        {"inputs": [x], "raw_input_contents": [row], "id": "1"},
        {"inputs": [x | {"contents": {"fp32_contents": [1, 2, 3]}}]},
        {"inputs": [x], "raw_input_contents": [row], "outputs": [{"name": "y"}]},
        {
            "inputs": [x],
            "raw_input_contents": [row],
            "outputs": [{"name": "y", "parameters": {"classification": {"int64_param": 2}}}],
            "parameters": {"timeout": {"int64_param": 10**6}, "a": {"string_param": "b"}},
            "model_version": "1",
        },
    ]
    found = [request(model_name="m", **each) for each in messages]
    pair = [{"name": name, "datatype": "FP32", "shape": [1, 2]} for name in "ab"]
    found.append(request(model_name="two", inputs=pair, raw_input_contents=[row[:8], row[4:]]))
    texts = x | {"datatype": "BYTES", "contents": {"bytes_contents": [b"a", b"", "é".encode()]}}
    found.append(request(model_name="texts", inputs=[texts]))
    for kind, contents in (("BOOL", "bool"), ("INT64", "int64"), ("UINT8", "uint")):
        given = x | {"datatype": kind, "contents": {f"{contents}_contents": [1, 0, 1]}}
        name = {"BOOL": "truths", "INT64": "whole", "UINT8": "small"}[kind]
        found.append(request(model_name=name, inputs=[given]))
    for name in ("image", "brightness"):
        given = image | {"name": "x" if name == "image" else "input"}
        found.append(
            request(model_name=name, inputs=[given | {"contents": {"bytes_contents": [file]}}])
        )
    return [message.SerializeToString() for message in found]


def forms() -> list[bytes]:
    """Bodies of multipart forms behind their content type."""
    stated = b"multipart/form-data; boundary=x\n"
    quoted = b'Multipart/Form-Data; charset=utf-8; boundary="x"\n'
    note = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    typed = b"--x\r\nContent-Type: image/png\r\ncontent-disposition: form-data; name=file\r\n\r\n"
    return [
        stated + PART + b"\x89PNG\r\n--\r\n" + END,
        quoted + note + PART + b"abc" + END + b"epilogue",
        stated + typed + END,
        stated + b"preamble\r\n" + PART + b"abc" + END,
    ]


def packed() -> list[bytes]:
    """Bodies in the encodings that are read, behind their name."""
    text = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}' * 3
    raw = zlib.compressobj(wbits=-15)
    return [
        b"gzip\n" + gzip.compress(text, mtime=0),
        b"x-gzip\n" + gzip.compress(bytes(2**20), mtime=0),
        b"deflate\n" + zlib.compress(text),
        b"deflate\n" + raw.compress(text) + raw.flush(),
        b"identity\n" + text,
        b"gzip;q=0.5, deflate;q=1, *;q=0\n" + text,
    ]


def manifests() -> list[bytes]:
    """Manifests of every format, the last two with a vector."""
    third = zoo.manifest_document(8, 8) | {"format_version": 3, "vector": _vector()}
    fourth = third | {"format_version": 4, "reliability": _reliability()}
    first = zoo.manifest_document_v1() | {"input": third["input"]}
    documents = [first, zoo.manifest_document(8, 8), third, fourth]
    documents.append(zoo.manifest_document(8, 8, labels=None) | {"input": None, "output": None})
    return [json.dumps(each).encode() for each in documents]


def _vector() -> dict[str, Any]:
    return {
        "seed": 7,
        "inputs": [{"name": "input", "shape": [1, 1, 8, 8], "low": 0, "high": 255}],
        "outputs": [
            {"name": "logits", "shape": [1, 3], "scale": 10.0, "values": [1, 2.5, "nan"]},
        ],
        "tolerance": {"cpu": 1e-4, "cuda": 1e-2},
    }


def _reliability() -> dict[str, Any]:
    bins = [{"confidence": 0.97, "accuracy": 0.99, "samples": 300}]
    share = {"ece_before": 0.02, "ece": 0.01, "samples": 360, "split": "test", "bins": bins}
    return {"temperature": 0.8, "fitted": True, **share}


def policies() -> list[bytes]:
    """Configurations that come with a load."""
    chosen = [{"all": {}}, {"latest": {"num_versions": 2}}, {"specific": {"versions": [1, "2"]}}]
    documents = [{"name": "m", "version_policy": each} for each in chosen]
    return [json.dumps(each).encode() for each in [*documents, {"max_batch_size": 32}]]


def requests() -> list[bytes]:
    """Whole requests of HTTP/1.1, in odd forms too."""
    chunked = (
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'4a\r\n{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}\r\n0\r\n\r\n'
    )
    upgrade = "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"
    return [
        infer_request("m", [3]),
        infer_request("m", [3], 2, binary=True),
        infer_request("m", [3], binary=True) + infer_request("m/versions/1", [3]),
        infer_request("m", [3], headers=["Connection: close"]) + get_request("/v2"),
        infer_request("m", [3], headers=upgrade) + get_request("/v2/health/live"),
        infer_request("m", [3], headers=["Expect: 100-continue"]),
        infer_request("m", [3], headers=["Accept-Encoding: gzip;q=0.5, deflate", "Origin: x"]),
        chunked,
        get_request("/v2/models/m", ["Accept: */*", "X-Request-Id: abc"]),
        get_request("/models/brightness/versions/1?top_k=1"),
        get_request("/metrics", ["Range: bytes=0-1", "If-None-Match: *"]),
        b"OPTIONS /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\n"
        b"Access-Control-Request-Method: POST\r\n\r\n",
        b"HEAD /docs HTTP/1.0\r\n\r\n",
    ]


def post(path: str, content: bytes, *headers: str) -> bytes:
    """Return a whole request with a body."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
    lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
