"""Pictures that are not what they seem, over every road that takes one, at the real server.

A picture is known by its content alone. What is none, is damaged, claims to be huge or is made
to be slow is refused before it costs memory or time; what is odd and honest is read exactly.
"""

import asyncio
import base64
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import numpy as np
import pytest
from onnx import helper
from PIL import Image

from service.rpc.messages import SERVICE, protocol
from tests.chaos.load import closed_loop, infer_request
from tests.service import crafted, zoo
from tests.service.crafted import MEBIBYTE, png
from tests.service.pictures import encoded, grey, noise
from tests.service.servers import PATIENCE_S, Server, server

SIDE = 4
MOST_PIXELS = 4_000_000
# One picture of them at 16 bytes a pixel, bodies of some megabytes, what an allocator keeps.
MOST_GROWTH = 16 * MOST_PIXELS + 32 * MEBIBYTE
# A file that is made to be slow would take many times that, as it did before it was bounded.
REQUEST_TIMEOUT_S = 8


def pixels() -> Any:
    """A model whose logits are the pixels of its image, as they were decoded."""
    document = zoo.manifest_document(SIDE, SIDE, "RGB", labels=None) | {"format_version": 2}
    document["input"] |= {"resize_filter": "nearest"}
    return zoo.graph_model(
        [helper.make_node("Flatten", ["input"], ["logits"])],
        [zoo.info("input", ("batch", 3, SIDE, SIDE))],
        [zoo.info("logits", ("batch", 3 * SIDE * SIDE))],
        metadata={"foldserve.manifest": json.dumps(document)},
    )


class Target(NamedTuple):
    """The server, and connections to it that last."""

    running: Server
    http: httpx.Client
    channel: Any

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self.http.post(self.running.url + path, **request)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "pixels", 1, pixels())
    zoo.put(models, "m", 1, zoo.doubler())
    bounds = {"MAX_IMAGE_PIXELS": MOST_PIXELS, "REQUEST_TIMEOUT_S": REQUEST_TIMEOUT_S}
    with server(models, GRPC_PORT=0, DECODE_THREADS=2, ACCESS_LOG="none", **bounds) as process:
        with (
            httpx.Client(timeout=PATIENCE_S) as http,
            grpc.insecure_channel(process.grpc) as channel,
        ):
            yield Target(process, http, channel)
        assert process.stop() == 0


Answer = tuple[int, Any]
"""A status, and the pixels; or the message of the error."""


def told(answer: httpx.Response) -> Answer:
    said = answer.json()
    if answer.status_code != 200:
        return answer.status_code, said.get("error") or said["detail"]
    if "predictions" not in said:
        return 200, said["outputs"][0]["data"]
    rows = said["predictions"]
    if isinstance(rows[0], list):
        return 200, rows[0]
    return 200, [each["index"] for each in rows]


def as_body(target: Target, data: bytes) -> Answer:
    return told(target.post("/models/pixels/predict?top_k=1", content=data))


def in_a_form(target: Target, data: bytes) -> Answer:
    files = {"file": ("picture.png", data, "image/png")}
    return told(target.post("/models/pixels/predict?top_k=1", files=files))


def as_bytes(target: Target, data: bytes) -> Answer:
    parameters = {"binary_data_size": len(data) + 4}
    tensor = {"name": "input", "shape": [1], "datatype": "BYTES", "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    body = head + struct.pack("<I", len(data)) + data
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return told(target.post("/v2/models/pixels/infer", content=body, headers=headers))


def as_the_whole_request(target: Target, data: bytes) -> Answer:
    headers = {"Inference-Header-Content-Length": "0"}
    answer = target.post("/v2/models/pixels/infer", content=data, headers=headers)
    if answer.status_code != 200:
        return told(answer)
    length = int(answer.headers["Inference-Header-Content-Length"])
    return 200, np.frombuffer(answer.content[length:], np.float32).tolist()


def as_text(target: Target, data: bytes) -> Answer:
    image = {"b64": base64.b64encode(data).decode()}
    tensor = {"name": "input", "shape": [1], "datatype": "BYTES", "data": [image]}
    return told(target.post("/v2/models/pixels/infer", json={"inputs": [tensor]}))


def as_an_instance(target: Target, data: bytes) -> Answer:
    image = {"b64": base64.b64encode(data).decode()}
    return told(target.post("/v1/models/pixels:predict", json={"instances": [image]}))


# What gRPC's statuses are over HTTP; it has one for all that a client says wrongly.
CODES = {grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.RESOURCE_EXHAUSTED: 413}


def over_grpc(target: Target, data: bytes) -> Answer:
    messages = protocol().messages
    request = messages.ModelInferRequest(
        model_name="pixels",
        inputs=[{"name": "input", "datatype": "BYTES", "shape": [1]}],
        raw_input_contents=[struct.pack("<I", len(data)) + data],
    )
    call = target.channel.unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=messages.ModelInferRequest.SerializeToString,
        response_deserializer=messages.ModelInferResponse.FromString,
    )
    try:
        answer = call(request, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return CODES[error.code()], error.details()
    return 200, np.frombuffer(answer.raw_output_contents[0], np.float32).tolist()


ROADS: Mapping[str, Callable[[Target, bytes], Answer]] = {
    "body": as_body,
    "form": in_a_form,
    "BYTES": as_bytes,
    "whole": as_the_whole_request,
    "JSON": as_text,
    "v1": as_an_instance,
    "gRPC": over_grpc,
}
every_road = pytest.mark.parametrize("road", ROADS)


def turned(image: Image.Image, kind: str) -> bytes:
    """A picture whose EXIF says that it lies on its side."""
    note = Image.Exif()
    note[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    return encoded(image, kind, exif=note, lossless=True)


def palette(transparent: int | None) -> tuple[bytes, Any]:
    """16 places of a palette, of which one may be transparent, and their colors."""
    image = Image.frombytes("P", (SIDE, SIDE), bytes(range(16)))
    colors = np.arange(48, dtype=np.uint8).reshape(16, 3) * 5
    image.putpalette(colors.tobytes())
    if transparent is None:
        return encoded(image), colors.reshape(SIDE, SIDE, 3)
    over_black = colors.copy()
    over_black[transparent] = 0
    return encoded(image, transparency=transparent), over_black.reshape(SIDE, SIDE, 3)


def sixteen_bits() -> tuple[bytes, Any]:
    values = np.arange(16, dtype=np.uint16).reshape(SIDE, SIDE) * 4001 + 255
    return encoded(Image.fromarray(values)), np.repeat((values >> 8)[..., np.newaxis], 3, 2)


def sixteen_bits_of_color() -> tuple[bytes, Any]:
    """Written by hand: Pillow writes none."""
    values = np.arange(48, dtype=np.uint16).reshape(SIDE, SIDE, 3) * 1301 + 255
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = crafted.PNG + crafted.header(SIDE, SIDE, 16, 2)
    data += crafted.chunk(b"IDAT", zlib.compress(rows)) + crafted.chunk(b"IEND", b"")
    return data, values >> 8


def half_transparent() -> tuple[bytes, Any]:
    image = noise(SIDE, SIDE)
    opaque = np.asarray(image).copy()
    alpha = np.where(np.arange(16).reshape(SIDE, SIDE) % 2, 255, 0).astype(np.uint8)
    image.putalpha(Image.frombytes("L", (SIDE, SIDE), alpha.tobytes()))
    return encoded(image), np.where(alpha[..., np.newaxis], opaque, 0)


def honest() -> dict[str, tuple[bytes, Any]]:
    """Odd pictures, and the pixels that they have, found without the service's code."""
    image = noise(SIDE, SIDE)
    found = np.asarray(image)
    others = {"save_all": True, "append_images": [Image.new("RGB", image.size)], "lossless": True}
    one_bit = Image.frombytes("1", (SIDE, SIDE), bytes([0xA0, 0x50, 0xA0, 0x50]))
    checks = np.where(np.indices((SIDE, SIDE)).sum(0) % 2, 0, 255)
    return {
        "plain": (encoded(image), found),
        "WebP": (encoded(image, "WEBP", lossless=True), found),
        "turned PNG": (turned(image, "PNG"), np.rot90(found, -1)),
        "turned WebP": (turned(image, "WEBP"), np.rot90(found, -1)),
        "animated PNG": (encoded(image, "PNG", **others), found),
        "animated WebP": (encoded(image, "WEBP", **others), found),
        "16 bits": sixteen_bits(),
        "16 bits of color": sixteen_bits_of_color(),
        "palette": palette(None),
        "palette with transparency": palette(3),
        "transparency": half_transparent(),
        "one bit": (encoded(one_bit), np.repeat(checks[..., np.newaxis], 3, 2)),
    }


@every_road
@pytest.mark.parametrize("name", honest())
def test_an_odd_and_honest_picture_is_read_exactly(target: Target, road: str, name: str) -> None:
    data, expected = honest()[name]
    values = expected.transpose(2, 0, 1).reshape(-1)
    status, found = ROADS[road](target, data)
    assert status == 200, found
    if road in ("body", "form"):  # which answer the place of the highest alone
        assert values[found[0]] == values.max()
    else:
        assert found == values.tolist()


def print_colors(kind: str) -> bytes:
    """Red, without ink of the other three, as printers and cameras of two pictures write it."""
    if kind == "CMYK":
        return encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    image = Image.new("RGB", (16, 16), (255, 0, 0))
    if kind == "two pictures":
        return encoded(image, "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    return encoded(image, "JPEG", progressive=True)


@every_road
@pytest.mark.parametrize("kind", ["CMYK", "two pictures", "progressive"])
def test_what_loses_a_little_is_the_same_color(target: Target, road: str, kind: str) -> None:
    status, found = ROADS[road](target, print_colors(kind))
    assert status == 200
    if road in ("body", "form"):
        assert found[0] < SIDE * SIDE  # a place of the first channel
    else:
        red, green, blue = np.reshape(found, (3, -1))
        assert red.min() > 245  # JPEG loses a few levels
        assert max(green.max(), blue.max()) < 10


def test_rows_that_a_whole_png_lacks_are_black(target: Target) -> None:
    """Its parts are all there, with their sums, and say less than its head: as Pillow has it."""
    white = zlib.compress((b"\0" + b"\xff" * SIDE) * 2)
    status, found = as_bytes(target, png(size=(SIDE, SIDE), rows=white))
    assert status == 200
    assert found == ([255.0] * 8 + [0.0] * 8) * 3


@pytest.mark.parametrize("stated", ["image/jpeg", "image/svg+xml", "text/html", "video/mp4", "x"])
@pytest.mark.parametrize("name", ["a.jpg", "a.svg", "../../a.exe", "a\0.gif", ""])
def test_a_picture_is_known_by_its_content_and_by_nothing_said_of_it(
    target: Target, stated: str, name: str
) -> None:
    data, path = grey(255), "/models/pixels/predict"
    plain = target.post(path, content=data, headers={"Content-Type": stated})
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n' % name.encode()
    part += b"Content-Type: %s\r\n\r\n%s\r\n--x--\r\n" % (stated.encode(), data)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    in_form = target.post(path, content=part, headers=form)
    assert plain.status_code == in_form.status_code == 200
    gif = target.post(path, content=grey(255, kind="GIF"), headers={"Content-Type": "image/png"})
    assert gif.status_code == 415


OTHER_FORMATS = (
    "AVIF", "BLP", "BMP", "DDS", "EPS", "GIF", "ICNS", "ICO", "JPEG2000", "MSP", "PCX",
    "PDF", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "XBM",
)  # fmt: skip
# What Pillow, or another reader of pictures, takes for a picture or runs.
BY_HAND = {
    "PSD": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\x08\0\3" + bytes(100),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "SVG of entities": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aa">]><svg>&a;</svg>',
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + bytes(100),
    "MVG": b"push graphic-context\nfill 'url(https://127.0.0.1/\"|id\")'\n",
    "HTML": b"<html><script>alert(1)</script>",
    "ZIP": b"PK\x03\x04" + bytes(100),
    "pickle": b"\x80\x04\x95",
    "a GIF in front of a PNG": b"GIF89a" + grey(7),
    "a PNG behind a line": b"\n" + grey(7),
    "RIFF that is no WebP": b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
    "one byte": b"\xff",
    "the start of a JPEG": b"\xff\xd8\xff",
    "the start of a PNG": crafted.PNG,
}


def written(kind: str) -> bytes:
    mode = {"BLP": "P", "MSP": "1", "SPIDER": "F", "XBM": "1"}.get(kind, "RGB")
    size = (16, 16)
    return encoded(Image.new(mode, size), kind)


@pytest.mark.parametrize("kind", [*OTHER_FORMATS, *BY_HAND])
def test_every_other_format_is_refused(target: Target, kind: str) -> None:
    data = BY_HAND[kind] if kind in BY_HAND else written(kind)
    for road, ask in ROADS.items():
        status, message = ask(target, data)
        assert status == (400 if road == "gRPC" else 415)
        assert message == "the body is not a JPEG, PNG or WebP image"


def cut(kind: str, part: float) -> bytes:
    whole = encoded(noise(64, 64), kind)
    return whole[: int(len(whole) * part)]


DAMAGED = {
    "empty": b"",
    **{
        f"{kind}, {part:.0%} of it": cut(kind, part)
        for kind in ("PNG", "JPEG", "WEBP")
        for part in (0.3, 0.6, 0.95)
    },
    "PNG of other bytes": png(rows=b"\0" * 100),
    "PNG whose sum lies": png()[:-20] + b"\0\0\0\0" + png()[-16:],
    "65 scans": crafted.scanned(65),
    "16 MB of text in a kilobyte": png(
        crafted.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(16 * MEBIBYTE), 9))
    ),
    "200 texts of a megabyte": png(
        crafted.chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(MEBIBYTE - 10), 9)) * 200
    ),
    "a profile of 64 MB": png(
        crafted.chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 * MEBIBYTE), 9))
    ),
    **{f"a flood of {name}": flood() for name, flood in crafted.FLOODS.items()},
}
ZERO = {
    "PNG without width": png(size=(0, 16)),
    "PNG without height": png(size=(16, 0)),
    "JPEG without width": crafted.jpeg_of(0, 16),
    "JPEG without height": crafted.jpeg_of(16, 0),
    "WebP without size": crafted.lossy_of(0, 0),
}
HUGE = {
    "PNG": png(size=(65_500, 65_500)),
    "PNG, one row": png(size=(2**31 - 1, 1)),
    "PNG, 2**62 pixels": png(size=(2**31 - 1, 2**31 - 1)),
    "PNG, one pixel too many": png(size=(2001, 2000)),
    "JPEG": crafted.jpeg_of(65_500, 65_500),
    "JPEG, one row too many": crafted.jpeg_of(2000, 2001),
    "WebP, lossless": crafted.lossless_of(16_384, 16_384),
    "WebP, lossy": crafted.lossy_of(16_383, 16_383),
    "WebP, animated": crafted.animation(16_384, 16_384, 2),
    "WebP, a canvas of 2**32": crafted.animation(2**16 - 1, 2**16 - 1, 1),
}


class Peak:
    """The most memory that the server's process has had since this was made."""

    def __init__(self, target: Target) -> None:
        self._process = Path(f"/proc/{target.running.process.pid}")
        # Let the kernel forget what it was before (proc(5), clear_refs).
        (self._process / "clear_refs").write_text("5")
        self._before = self._now()

    def _now(self) -> int:
        status = (self._process / "status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    @property
    def grown(self) -> int:
        return self._now() - self._before


@pytest.fixture
def peak(target: Target) -> Peak:
    as_body(target, grey(7, (2000, 2000)))  # the first large one leaves much with the allocator
    return Peak(target)


def test_what_is_damaged_claims_to_be_huge_or_is_empty_costs_neither_memory_nor_time(
    target: Target, peak: Peak, figure: Callable[..., None]
) -> None:
    """The answer would be another, of a request that was late, if it took time."""
    for road, ask in ROADS.items():
        for name, data in DAMAGED.items():
            status, message = ask(target, data)
            assert status == 400, (road, name, message)
            assert len(message) < 200
        for name, data in ZERO.items():
            assert ask(target, data)[0] in {400, 415}, (road, name)
        for name, data in HUGE.items():
            status, message = ask(target, data)
            assert status == (400 if road == "gRPC" else 413), (road, name, message)
            assert "pixels" in message
    assert peak.grown < MOST_GROWTH
    tried = len(DAMAGED) + len(ZERO) + len(HUGE)
    figure("Pictures: damaged, bombs, of no size", pictures=tried, roads=len(ROADS), let_in=0)


def test_the_largest_pictures_take_what_is_said_and_are_decoded_one_at_a_time(
    target: Target, peak: Peak
) -> None:
    """And the measure can fail: a picture that is decoded is seen in it."""
    size = (2000, 2000)
    color = Image.new("RGB", size, (1, 2, 3))
    clear = Image.new("RGBA", size, (1, 2, 3, 100))
    slow = crafted.scanned(64, size)
    largest = [encoded(clear, "WEBP", lossless=True, method=0), encoded(clear), slow]
    largest.append(turned(color, "JPEG"))
    tensor = {"name": "input", "shape": [8], "datatype": "BYTES"}
    tensor["data"] = [{"b64": base64.b64encode(data).decode()} for data in largest * 2]
    answer = target.post("/v2/models/pixels/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    assert 4 * MOST_PIXELS < peak.grown < MOST_GROWTH


@pytest.mark.anyio
async def test_others_are_answered_meanwhile(target: Target, figure: Callable[..., None]) -> None:
    """Structure is read in Python, which one thread has at a time; a flood had it for seconds."""
    floods = [crafted.FLOODS[name]() for name in ("profiles", "fill bytes", "segments")]
    lines = b"POST /models/pixels/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    bad = [lines % len(data) + data for data in floods]
    good, refused = await asyncio.gather(
        closed_loop(target.running.port, [infer_request("m", [3])], clients=2, seconds=2),
        closed_loop(target.running.port, bad, clients=4, seconds=2),
    )
    assert set(good.statuses) == {200}
    assert set(refused.statuses) == {400}
    assert good.lost == refused.lost == 0
    # A tenth of what a request has: with one thread in a flood of seconds it was more.
    assert good.slowest() < REQUEST_TIMEOUT_S / 10
    figure(
        "Pictures made to be slow, with others beside them",
        floods=refused.requests,
        requests=good.requests,
        lost=0,
    )


def test_what_damaged_pictures_say_is_no_line_of_the_log(target: Target) -> None:
    """Pillow warns of EXIF once for each entry, up to 65,535 times a file."""
    picture = crafted.jpeg(crafted.exif(5000, 60_000))
    assert as_body(target, picture)[0] == 200
    log = target.running.process.stderr
    assert log is not None
    os.set_blocking(log.fileno(), False)
    with pytest.raises(BlockingIOError):
        os.read(log.fileno(), 1)
