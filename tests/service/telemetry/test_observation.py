"""What went wrong is counted by its code and named in the log, whichever road it took."""

import json
import socket
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import pytest

from service.rpc.messages import SERVICE, protocol
from tests.service import keys
from tests.service.servers import PATIENCE_S, Server, server
from tests.service.telemetry.test_metrics import read

pytestmark = pytest.mark.slow


def counted(running: Server, **headers: str) -> dict[str, float]:
    told = read(httpx.get(f"{running.url}/metrics", headers=headers).text)
    prefix = 'foldserve_errors_total{code="'
    found = {name[len(prefix) : -2]: value for name, value in told.items() if prefix in name}
    return {code: count for code, count in found.items() if count}


def test_errors_of_every_road_are_counted_and_named_in_the_log(models: Path) -> None:
    chosen = {"LOG_FORMAT": "json", "LOG_LEVEL": "info", "GRPC_PORT": 0}
    with server(models, **chosen) as running:
        httpx.get(f"{running.url}/absent")  # the framework's
        httpx.post(f"{running.url}/models/brightness/predict", content=b"no image")  # an endpoint's
        httpx.post(f"{running.url}/v2/models/absent/infer", content=b"{}")  # the lane's
        with grpc.insecure_channel(running.grpc) as channel:
            ask = channel.unary_unary(f"/{SERVICE}/ModelReady")
            message = protocol().messages.ModelReadyRequest(name="absent").SerializeToString()
            with pytest.raises(grpc.RpcError):
                ask(message, wait_for_ready=True)
        with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as client:
            client.sendall(b"nonsense\r\n\r\n")  # the connection's
            assert b"400 Bad Request" in client.recv(4096)
        told = counted(running)
        assert running.stop() == 0
        assert running.process.stderr is not None
        lines = [json.loads(line) for line in running.process.stderr]
    expected = ["not_found", "unsupported_image", "model_not_found", "model_not_found"]
    expected.append("malformed_request")
    assert told == {code: expected.count(code) for code in expected}
    assert [line["code"] for line in lines if line["event"] == "request"] == expected


def test_who_may_not_ask_is_counted_too(models: Path) -> None:
    with server(models, API_KEYS=keys.put(models)) as running:
        assert httpx.get(f"{running.url}/models").status_code == 401
        assert httpx.post(f"{running.url}/v2/models/doubler/infer", json={}).status_code == 401
        assert (
            httpx.get(f"{running.url}/metrics", headers=keys.bearer("predict")).status_code == 403
        )
        assert counted(running, **keys.bearer("metrics")) == {"unauthorized": 2, "forbidden": 1}
