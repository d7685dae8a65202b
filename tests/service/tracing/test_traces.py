"""Traces of the real server, as a collector gets them."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import numpy as np
import pytest

from service.rpc.messages import SERVICE, protocol
from tests.service import certificates, keys, zoo
from tests.service.pictures import grey
from tests.service.rpc.clients import request
from tests.service.servers import PATIENCE_S, Server, refused, server
from tests.service.tracing.collector import Collector, Span, collecting

pytestmark = pytest.mark.slow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}

TENSOR = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4, 5, 6]]}
BODY = {"inputs": [TENSOR]}
INFER = "POST /v2/models/{name}/infer"
WIDTH = 512  # of a model whose run takes too long for the event loop


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def infer(
    running: Server,
    model: str = "doubler",
    body: Any = BODY,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> httpx.Response:
    """Ask in one piece, as the express lane wants it; a client's library sends two."""
    path, written = f"/v2/models/{model}/infer", json.dumps(body).encode()
    stated = {"Host": "localhost", "Content-Length": str(len(written)), **(headers or {})}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in stated.items())]
    with ExitStack() as opened:
        plain = socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)
        client = opened.enter_context(plain)
        if tls is not None:
            client = opened.enter_context(tls.wrap_socket(plain, server_hostname="localhost"))
        client.sendall("\r\n".join([*lines, "", ""]).encode() + written)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def the(spans: list[Span]) -> Span:
    (found,) = spans
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_is_a_span_with_one_for_each_stage_in_the_clients_trace(
    models: Path, collector: Collector, workers: int
) -> None:
    began = time.time_ns()
    with server(models, TRACES_URL=collector.url, WORKERS=workers) as running:
        answer = infer(running, headers=SAMPLED | {"X-Request-ID": "mine"})
        assert running.stop() == 0
    root = the(collector.named(INFER))
    assert (root.trace_id, root.parent) == (TRACE, PARENT)
    assert root.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v2/models/{name}/infer",
        "url.path": "/v2/models/doubler/infer",
        "url.scheme": "http",
        "foldserve.request_id": "mine",
        "foldserve.model.name": "doubler",
        "foldserve.model.version": "12",
        "foldserve.request.rows": 2,
    }
    assert root.resource["service.name"] == "foldserve"
    stages = collector.children(root)
    assert list(stages) == ["decode", "queue", "infer"]
    assert stages["infer"].attributes == {"foldserve.batch.rows": 2}
    assert began <= root.start <= stages["decode"].start
    assert stages["decode"].end <= stages["queue"].end <= stages["infer"].start
    assert stages["infer"].end <= root.end <= time.time_ns()
    told = dict(each.split(";dur=") for each in answer.headers["server-timing"].split(", "))
    for name, span in stages.items():
        # The header has thousandths of a millisecond.
        assert (span.end - span.start) / 1e6 == pytest.approx(float(told[name]), abs=1e-3)


def test_each_road_through_the_server_is_traced(models: Path, collector: Collector) -> None:
    zoo.put(models, "mill", 1, zoo.mill(WIDTH))
    slow = {"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "data": [1] * WIDTH}
    with server(models, TRACES_URL=collector.url, GRPC_PORT=0) as running:
        infer(running)  # in place
        infer(running, "mill", {"inputs": [slow]})  # in a thread
        httpx.post(f"{running.url}/models/brightness/predict", content=grey(0))
        httpx.post(f"{running.url}/v1/models/doubler:predict", json={"instances": [[1, 2, 3]]})
        call_infer(running, metadata=[*SAMPLED.items(), ("x-request-id", "over-grpc")])
        for path in ("/metrics", "/v2/health/ready", "/models"):
            httpx.get(running.url + path)
        assert running.stop() == 0
    names = [root.name for root in collector.roots]
    assert sorted(names) == sorted(
        [
            *(INFER, INFER),
            "POST /models/{name}/predict",
            "POST /v1/models/{name}:predict",
            f"{SERVICE}/ModelInfer",
        ]
    )
    for root in collector.roots:
        assert {*collector.children(root)} == {"decode", "queue", "infer"}, root.name
    rpc = the(collector.named(f"{SERVICE}/ModelInfer"))
    assert (rpc.trace_id, rpc.parent) == (TRACE, PARENT)
    assert rpc.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/ModelInfer",
        "rpc.response.status_code": "OK",
        "foldserve.request_id": "over-grpc",
        "foldserve.model.name": "doubler",
        "foldserve.model.version": "12",
        "foldserve.request.rows": 1,
    }


def test_an_error_stands_in_the_span_and_the_trace_in_every_log_line_of_the_request(
    models: Path, collector: Collector
) -> None:
    zoo.put(models, "log", 1, zoo.logarithm())
    chosen = {"LOG_FORMAT": "json", "LOG_LEVEL": "info", "GRPC_PORT": 0}
    with server(models, TRACES_URL=collector.url, **chosen) as running:
        infer(running, "log", {"inputs": [TENSOR | {"data": [0] * 6}]})
        infer(running, "absent")
        httpx.post(f"{running.url}/models/brightness/predict", content=b"no image")
        with pytest.raises(grpc.RpcError):
            call_infer(running, "absent")
        infer(running, "absent", headers={"Expect": "100-continue"})  # by way of the app
        httpx.get(f"{running.url}/models/absent")  # in no trace
        assert running.stop() == 0
        assert running.process.stderr is not None
        lines = [json.loads(line) for line in running.process.stderr]
    spans = {root.attributes["foldserve.request_id"]: root for root in collector.roots}
    of_requests = [line for line in lines if "request_id" in line]
    assert [line["event"] for line in of_requests] == ["run failed", *["request"] * 6]
    assert "trace_id" not in of_requests.pop()
    for line in of_requests:
        span = spans[line["request_id"]]
        assert line["trace_id"] == span.trace_id
        assert line["code"] == span.attributes["error.type"]
        # OpenTelemetry's conventions: what the client did wrong is no failure of the server's.
        assert span.failed == (line["code"] == "output_not_finite")
    codes = [line["code"] for line in of_requests if line["event"] == "request"]
    absent, unsupported = "model_not_found", "unsupported_image"
    assert codes == ["output_not_finite", absent, unsupported, absent, absent]
    assert len(spans) == 5


def test_a_client_decides_about_its_trace_and_the_ratio_about_those_that_begin_here(
    models: Path, collector: Collector
) -> None:
    with server(models, TRACES_URL=collector.url, TRACES_RATIO=0) as running:
        infer(running)
        infer(running, headers={"traceparent": "nonsense"})
        infer(running, headers=SAMPLED | {"X-Request-ID": "the-clients"})
        assert running.stop() == 0
    assert the(collector.roots).attributes["foldserve.request_id"] == "the-clients"


def test_what_a_client_does_not_want_is_not_sent(models: Path, collector: Collector) -> None:
    with server(models, TRACES_URL=collector.url) as running:
        infer(running, headers=NOT_SAMPLED)
        httpx.post(f"{running.url}/models/brightness/predict", content=grey(0), headers=NOT_SAMPLED)
        infer(running, headers={"X-Request-ID": "new"})
        assert running.stop() == 0
    root = the(collector.roots)
    assert root.attributes["foldserve.request_id"] == "new"
    assert root.parent == ""


def test_a_request_over_tls_says_so(models: Path, collector: Collector, tmp_path: Path) -> None:
    given = certificates.files(tmp_path)
    tls = certificates.client(given.authority)
    with server(models, TRACES_URL=collector.url, **given.choices()) as running:
        infer(running, tls=tls)  # in place
        httpx.post(f"{running.url}/models/brightness/predict", content=grey(0), verify=tls)
        assert running.stop() == 0
    assert [root.attributes["url.scheme"] for root in collector.roots] == ["https", "https"]


def test_who_may_not_ask_makes_no_trace(models: Path, collector: Collector) -> None:
    with server(models, TRACES_URL=collector.url, API_KEYS=keys.put(models)) as running:
        assert infer(running).status_code == 401
        predict = f"{running.url}/models/brightness/predict"
        assert httpx.post(predict, content=grey(0)).status_code == 401
        assert infer(running, headers=keys.bearer("predict")).status_code == 200
        assert running.stop() == 0
    assert the(collector.roots).attributes["http.response.status_code"] == 200


def test_spans_are_sent_while_the_server_serves_with_what_the_environment_says_of_it(
    models: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # milliseconds
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with server(models, TRACES_URL=collector.url) as running:
        infer(running)
        assert collector.came.wait(PATIENCE_S)
    resource = the(collector.roots).resource
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.name"] == "foldserve"
    assert resource["service.version"] == version("foldserve")


def test_a_collector_that_is_away_or_silent_holds_up_neither_answers_nor_the_end(
    models: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        with server(models, TRACES_URL=url, GRACE_S=1) as running:
            assert {infer(running).status_code for _ in range(100)} == {200}
            assert running.stop() == 0  # within the patience of the tests, without an answer
            assert running.process.stderr is not None
            assert "traces lost" in running.process.stderr.read()
    with server(models, TRACES_URL=url, GRACE_S=1) as running:  # refused from now on
        assert infer(running).status_code == 200
        assert running.stop() == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "127.0.0.1:4318/v1/traces"]
)
def test_a_url_that_is_no_collectors_stops_the_start(models: Path, url: str) -> None:
    assert f"FOLDSERVE_TRACES_URL={url}: " in refused(models, TRACES_URL=url)


def test_without_the_extra_the_start_says_what_to_install(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A finder of modules in front of all others, in the process that is to start.
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_THE_SDK)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert refused(models, TRACES_URL="http://127.0.0.1:4318/v1/traces") == (
        "foldserve-serve: FOLDSERVE_TRACES_URL is set and opentelemetry.sdk is not installed:"
        " pip install 'foldserve[service,tracing]'"
    )


WITHOUT_THE_SDK = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(name, name="opentelemetry.sdk")

sys.meta_path.insert(0, Without())
"""


def test_without_a_collector_nothing_of_the_sdk_is_loaded(root: Path) -> None:
    script = (
        "import sys, service.app; from service.settings import Settings;"
        "app = service.app.create_app(Settings({}));"
        "print(*[name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )

    def loaded(settings: str) -> str:
        run = [sys.executable, "-c", script.format(settings)]
        return subprocess.run(run, cwd=root, capture_output=True, text=True, check=True).stdout

    assert loaded("").strip() == ""
    assert "opentelemetry.sdk.trace" in loaded("traces_url='http://127.0.0.1:1/v1/traces'")


def call_infer(running: Server, model: str = "doubler", **options: Any) -> Any:
    messages = protocol().messages
    with grpc.insecure_channel(running.grpc) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelInferResponse.FromString,
        )
        message = request(model, {"x": np.ones((1, 3), np.float32)})
        return call(message, wait_for_ready=True, **options)
