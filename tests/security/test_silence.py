"""What the real server says of its clients and of itself: in answers, in metrics and in the log.

Texts that nobody else has are put everywhere a client can put one, and then looked for.
"""

import base64
import json
import random
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import pytest
from onnx import TensorProto
from PIL import Image, PngImagePlugin

from service.rpc.messages import SERVICE, protocol
from tests.security.test_intruders import ask_all
from tests.service import crafted, zoo
from tests.service.keys import KEYS, put
from tests.service.pictures import encoded, grey
from tests.service.servers import PATIENCE_S, Server, server

SECRET = "Zq7mXw2vSecret"  # noqa: S105 -- it is looked for
# What tells of the machine, of files, of code: in no answer.
INSIDE = re.compile(
    r"/(tmp|root|home|usr|work|proc)\b|site-packages|\.pyx?\b|\.onnx/|Traceback|line \d+"
    r"|object at|0x[0-9a-f]{6}|onnxruntime|numpy|PIL|starlette|uvicorn|pydantic|Error\(",
    re.IGNORECASE,
)
KEY = {"X-API-Key": KEYS["predict"]}
INFER = "/v2/models/m/infer"
PREDICT = "/models/brightness/predict"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


@dataclass
class Heard:
    """A server, and what it has written to its log so far."""

    server: Server
    lines: list[str] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        assert self.server.process.stderr is not None
        self.lines += self.server.process.stderr


def models(root: Path) -> Path:
    """Some that answer, one whose runs fail, and some that are broken in every way."""
    zoo.put(root, "m", 1, zoo.doubler())
    zoo.put(root, "brightness", 1, zoo.brightness_classifier())
    zoo.put(root, "texts", 1, zoo.identity(TensorProto.STRING))
    zoo.put(root, "picker", 1, zoo.picker())
    zoo.put(root, "log", 1, zoo.logarithm())
    zoo.put(root, "garbage", 1, zoo.doubler()).write_bytes(b"garbage")
    zoo.put(root, "empty", 1, zoo.doubler()).write_bytes(b"")
    cut = zoo.put(root, "cut", 1, zoo.doubler())
    cut.write_bytes(cut.read_bytes()[:-20])
    zoo.put(root, "manifest", 1, zoo.doubler(metadata={"foldserve.manifest": "{}"}))
    unknown = zoo.doubler()
    unknown.graph.node[0].op_type = "NoSuchOperator"
    zoo.put(root, "unknown", 1, unknown)
    outside = zoo.doubler()
    for key, value in (("location", "/etc/passwd"), ("length", "12")):
        tensor = outside.graph.initializer.add(name="w", data_type=1, dims=[3])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key=key, value=value)
    zoo.put(root, "outside", 1, outside)
    return root


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """The log at its most talkative; two workers, so that both kinds of start are in it."""
    keys = put(tmp_path_factory.mktemp("keys"))
    choices = {"WORKERS": 2, "GRPC_PORT": 0, "CONTROL_PORT": 0, "API_KEYS": keys}
    logs = {"LOG_FORMAT": "json", "LOG_LEVEL": "debug", "ACCESS_LOG": "all"}
    root = models(tmp_path_factory.mktemp("models"))
    with server(root, **choices, **logs, WARM_UP="no", MAX_BODY_BYTES=2**20) as running:
        found = Heard(running)
        running.control  # noqa: B018 -- the line is read before it is asked for
        yield found
        running.process.kill()
        found.thread.join(PATIENCE_S)


def telling_picture(kind: str) -> bytes:
    """A picture with a text wherever one can stand in it."""
    note = Image.Exif()
    note[0x010E] = note[0x013B] = SECRET  # ImageDescription, Artist
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", SECRET)
    texts.add_itxt("Author", SECRET, zip=True)
    image = Image.new("L", (16, 16), 255)
    if kind == "PNG":
        return encoded(image, kind, exif=note, pnginfo=texts)
    return encoded(image, kind, exif=note, comment=SECRET.encode())


def bodies() -> list[tuple[str, bytes, dict[str, str]]]:
    """Requests that hold the text, whole and damaged ones."""
    data = [SECRET, SECRET, SECRET]
    texts = json.dumps({"inputs": [TENSOR | {"datatype": "BYTES", "data": data}]}).encode()
    form = {"Content-Type": f"multipart/form-data; boundary={SECRET}"}
    part = f'--{SECRET}\r\nContent-Disposition: form-data; name="file"; filename="{SECRET}"\r\n\r\n'
    size = {"Inference-Header-Content-Length": SECRET}
    return [
        ("/v2/models/texts/infer", texts, {}),
        ("/v2/models/texts/infer", texts[:-5], {}),
        (INFER, texts, {}),
        (INFER, json.dumps({"inputs": [TENSOR], "id": SECRET}).encode(), {}),
        (INFER, json.dumps({"inputs": [TENSOR | {"name": SECRET}]}).encode(), {}),
        (INFER, json.dumps({"inputs": [TENSOR], "parameters": {SECRET: SECRET}}).encode(), {}),
        (INFER, json.dumps({"inputs": [TENSOR], "outputs": [{"name": SECRET}]}).encode(), {}),
        (INFER, SECRET.encode() * 1000, size),
        (INFER, SECRET.encode() * 1000, {"Content-Encoding": "gzip"}),
        (INFER, SECRET.encode(), {"Content-Encoding": SECRET}),
        (INFER, SECRET.encode() * 200_000, {}),
        ("/v1/models/m:predict", json.dumps({"instances": data}).encode(), {}),
        ("/v1/models/m:predict", json.dumps({SECRET: data}).encode(), {}),
        (PREDICT, SECRET.encode() * 1000, {"Content-Type": SECRET}),
        (PREDICT, telling_picture("PNG"), {}),
        (PREDICT, telling_picture("JPEG"), {}),
        (PREDICT, telling_picture("PNG")[:-40], {}),
        (PREDICT, crafted.jpeg(crafted.exif(300, 60_000)), {}),
        (PREDICT, part.encode() + telling_picture("PNG") + f"\r\n--{SECRET}--".encode(), form),
        (PREDICT, part.encode() + b"\0" * 100, form),
        (f"{PREDICT}?top_k={SECRET}&key={SECRET}", grey(255), {}),
        ("/v2/repository/index", json.dumps({"ready": SECRET}).encode(), {}),
        ("/v2/repository/models/m/load", json.dumps({"parameters": {SECRET: 1}}).encode(), {}),
        (
            "/v2/models/log/infer",
            json.dumps({"inputs": [TENSOR | {"data": [0, 1, 2]}]}).encode(),
            {},
        ),
        (
            "/v2/models/picker/infer",
            json.dumps(
                {
                    "id": SECRET,
                    "inputs": [TENSOR | {"shape": [1, 1], "datatype": "INT64", "data": [7]}],
                }
            ).encode(),
            {},
        ),
    ]


TELLING = {
    "Authorization": f"Bearer {SECRET}",
    "Cookie": f"session={SECRET}",
    "User-Agent": SECRET,
    "Referer": f"http://x/?key={SECRET}",
    "X-Forwarded-For": SECRET,
    "X-Other": SECRET,
    "Accept-Encoding": SECRET,
    "Accept": SECRET,
}


def ask_everything(heard: Heard) -> list[httpx.Response]:
    """Ask with a right key, a wrong one and none; return the answers."""
    found = []
    other = {name: value for name, value in TELLING.items() if name != "Authorization"}
    with httpx.Client(timeout=PATIENCE_S) as client:
        for path, body, headers in bodies():
            for key in (KEY, {"X-API-Key": SECRET}, {"Authorization": f"Basic {SECRET}"}, TELLING):
                url = heard.server.url + path
                found.append(client.post(url, content=body, headers=other | headers | key))
        for name in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = client.request(name, heard.server.url + INFER, headers=other | KEY)
            found.append(answer)
        for path in ("/models", "/v1/models/garbage", "/v2/models/outside", "/nothing", "/v2"):
            answer = client.get(heard.server.url + path, headers=other | KEY)
            found.append(answer)
    return found


def call_everything(heard: Heard) -> list[str]:
    """The same over gRPC; return what was said."""
    messages, said = protocol().messages, []
    tensor = {"name": "x", "datatype": "BYTES", "shape": [1, 3]}
    raw = struct.pack("<I", len(SECRET)) + SECRET.encode()
    requests = [
        messages.ModelInferRequest(
            model_name="texts", inputs=[tensor], raw_input_contents=[raw * 3]
        ),
        messages.ModelInferRequest(model_name="texts", inputs=[tensor], raw_input_contents=[raw]),
        messages.ModelInferRequest(
            model_name="m", inputs=[tensor], raw_input_contents=[raw], id=SECRET
        ),
        messages.ModelInferRequest(model_name="brightness", inputs=[tensor | {"name": SECRET}]),
    ]
    bodies = [each.SerializeToString() for each in requests] + [SECRET.encode() * 100]
    with grpc.insecure_channel(heard.server.grpc) as channel:
        for body in bodies:
            for key in (KEYS["predict"], SECRET):
                metadata = (("x-api-key", key), ("x-other", SECRET), ("user-agent-x", SECRET))
                call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
                try:
                    call(body, metadata=metadata, timeout=PATIENCE_S)
                except grpc.RpcError as error:
                    said.append(error.details())
    return said


def test_the_log_has_every_request_by_its_id_and_nothing_that_was_in_it(
    heard: Heard, figure: Callable[..., None]
) -> None:
    answers = ask_everything(heard)
    call_everything(heard)
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)
    until_logged(heard, answers[-1].headers["x-request-id"])
    text = "".join(heard.lines)
    for hidden in (SECRET, base64.b64encode(SECRET.encode()).decode().rstrip("="), *KEYS.values()):
        found = [line for line in heard.lines if hidden in line]
        assert found == [], hidden
    lines = [json.loads(line) for line in heard.lines]  # every one is JSON
    logged = {line.get("request_id") for line in lines}
    # A refusal for the key is a line a second in the log of errors, and one each where all are.
    assert ids <= logged
    words = {"event", "level", "timestamp", "worker", "method", "path", "status", "request_id"}
    for line in lines:
        if line["event"] == "request":
            assert words <= line.keys() <= words | {"milliseconds", "code", "trace_id"}
    assert "Traceback" not in text
    figure("Log without what a client sent", requests=len(answers), lines=len(lines), told=0)


def until_logged(heard: Heard, request_id: str) -> None:
    for _ in range(10_000):
        if any(request_id in line for line in list(heard.lines)):
            return
        httpx.get(heard.server.url + "/v2/health/live", timeout=PATIENCE_S)
    raise AssertionError(f"{request_id} is not in the log")


def test_the_search_of_the_log_finds_what_is_in_it(heard: Heard) -> None:
    """A path is logged, so that a text in it is found."""
    answer = httpx.get(f"{heard.server.url}/{SECRET}-in-a-path", headers=KEY, timeout=PATIENCE_S)
    until_logged(heard, answer.headers["x-request-id"])
    (line,) = [line for line in heard.lines if f"{SECRET}-in-a-path" in line]
    heard.lines.remove(line)


def test_no_error_tells_of_the_machine_or_of_another_client(
    heard: Heard, figure: Callable[..., None]
) -> None:
    answers = ask_everything(heard)
    failed = [answer for answer in answers if answer.status_code >= 400]
    assert {answer.status_code for answer in failed} >= {
        400,
        401,
        403,
        404,
        405,
        413,
        415,
        422,
        500,
    }
    said = [answer.text for answer in failed] + call_everything(heard)
    said += [str(answer.headers) for answer in answers]
    listed = [answer.text for answer in answers if answer.request.url.path == "/models"]
    reasons = [
        version["reason"]
        for model in json.loads(listed[0])["models"]
        for version in model["versions"]
        if version["reason"]
    ]
    assert len(reasons) >= 6  # each broken model says why
    for text in (*said, *reasons):
        # Why a model is broken is told in the runtime's words, which say whose they are.
        assert not INSIDE.search(text.replace("[ONNXRuntimeError]", "")), text
        assert len(text) < 1500
    # Who asks wrongly behind all that hears his own words alone.
    with httpx.Client(timeout=PATIENCE_S, headers=KEY) as client:
        for path, body, _ in bodies():
            own = body.replace(SECRET.encode(), b"own")
            answer = client.post(heard.server.url + path.replace(SECRET, "own"), content=own)
            assert SECRET not in answer.text
    figure("Errors without paths, code and others' data", errors=len(said), told=0)


def series(text: str) -> set[str]:
    """The names and labels of a scrape, without its numbers."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0] for line in lines}


def scrape(running: Server) -> str:
    key = {"X-API-Key": KEYS["metrics"]}
    return httpx.get(running.url + "/metrics", headers=key, timeout=PATIENCE_S).text


def anything(count: int, seed: int) -> Sequence[tuple[str, str, str]]:
    """Requests whose methods, paths, names, versions, ids and headers a client made up."""
    chance = random.Random(seed)  # noqa: S311 -- no secret

    def word() -> str:
        return SECRET + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789-_.", k=12))

    forms: list[Callable[[], tuple[str, str]]] = [
        lambda: ("GET", f"/{word()}"),
        lambda: ("GET", f"/models/{word()}"),
        lambda: ("POST", f"/models/{word()}/predict"),
        lambda: ("POST", f"/v2/models/{word()}/infer"),
        lambda: ("POST", f"/v2/models/m/versions/{word()}/infer"),
        lambda: ("POST", f"/v2/models/m/versions/{chance.randrange(2, 10**9)}/infer"),
        lambda: ("POST", f"/v1/models/{word()}:predict"),
        lambda: ("GET", f"/v2/models/{word()}/stats"),
        lambda: ("GET", f"/docs/assets/{word()}"),
        lambda: ("GET", f"/v2/health/{word()}"),
        lambda: ("GET", f"/models?{word()}={word()}"),
        lambda: ("".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=8)), "/models"),
    ]
    key = f"X-API-Key: {KEYS['predict']}\r\n"
    return [
        (*chance.choice(forms)(), f"{key}X-Request-ID: {word()}\r\nUser-Agent: {word()}\r\n")
        for _ in range(count)
    ]


@pytest.mark.anyio
async def test_no_client_adds_a_series_to_the_metrics(
    heard: Heard, figure: Callable[..., None]
) -> None:
    await ask_all(heard.server.port, anything(300, seed=1))  # every route and status, once
    scrape(heard.server)
    before = series(scrape(heard.server))
    answers = await ask_all(heard.server.port, anything(3000, seed=2))
    messages = protocol().messages
    with grpc.insecure_channel(heard.server.grpc) as channel:
        for number in range(200):
            method = f"/{SERVICE}/{SECRET}{number}" if number % 2 else f"/{SERVICE}/ModelReady"
            body = messages.ModelReadyRequest(name=f"{SECRET}{number}").SerializeToString()
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(method)(
                    body, metadata=(("x-api-key", KEYS["predict"]),), timeout=PATIENCE_S
                )
    text = scrape(heard.server)
    assert SECRET not in text
    assert {name for name in series(text) - before if "grpc" not in name} == set()
    assert sum("grpc" in name for name in series(text) - before) < 60  # one method, once
    figure("Metrics with no label of a client's", requests=len(answers) + 200, series_added=0)


def test_a_series_that_is_added_is_seen(heard: Heard) -> None:
    before = series(scrape(heard.server))
    httpx.get(f"{heard.server.url}/v2/models/brightness/config", headers=KEY, timeout=PATIENCE_S)
    added: set[Any] = series(scrape(heard.server)) - before
    assert any("/config" in name for name in added)
