"""The process around the app, run in this one."""

import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.command_line import cli
from service.errors import StartError
from service.lifecycle import Service
from service.processes import server
from service.processes.greeting import greeting
from tests.service import zoo
from tests.service.apps import settings
from tests.service.servers import found, taken_port

pytestmark = [pytest.mark.usefixtures("_logs_as_before"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _late_signals_do_no_harm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


class Operator:
    """Waits for the greeting, then does something from another thread."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self._act = act
        self._thread: threading.Thread | None = None

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if "ready" in line:
            url = found(r"(http://[^\s/]+)/", line)
            self._thread = threading.Thread(target=self._act, args=(url,))
            self._thread.start()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join()


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Screen(io.StringIO):
    """A standard output whose reader acts on what it reads."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self._operator = operator

    def write(self, text: str) -> int:
        self._operator(text)
        return super().write(text)


def test_it_serves_until_it_is_told_to_stop_and_then_returns(models: Path) -> None:
    answers: list[int] = []

    def act(url: str) -> None:
        answers.append(httpx.get(f"{url}/v2/health/ready").status_code)
        terminate()

    operator = Operator(act)
    server.run(settings(models, port=0), operator)
    operator.join()
    assert answers == [200]
    assert operator.lines[1].startswith("Try: curl --data-binary @")


def test_a_second_signal_ends_the_drain_delay_and_a_third_ends_at_once(models: Path) -> None:
    seen: list[int] = []

    def act(url: str) -> None:
        terminate()
        with httpx.Client() as client:
            while client.get(f"{url}/v2/health/ready").status_code == 200:
                pass
            seen.append(client.get(f"{url}/v2/health/ready").status_code)
        terminate()
        terminate()

    operator = Operator(act)
    server.run(settings(models, port=0, drain_delay_s=600.0), operator)
    operator.join()
    assert seen == [503]


def test_a_short_drain_delay_ends_by_itself(models: Path) -> None:
    operator = Operator(lambda _url: terminate())
    server.run(settings(models, port=0, drain_delay_s=0.01), operator)
    operator.join()


def test_a_signal_during_the_start_waits_for_no_drain_delay(models: Path) -> None:
    class Impatient(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            terminate()
            lifecycle.removeHandler(self)  # once is enough

    lifecycle = logging.getLogger("service.lifecycle")
    lifecycle.addHandler(Impatient())  # told of the first of several models
    lines: list[str] = []
    server.run(settings(models, port=0, drain_delay_s=600.0), lines.append)
    assert lines == []


def test_nothing_to_serve_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no model can be served"):
        server.run(settings(tmp_path, port=0), print)


def test_a_port_in_use_is_an_error_of_the_start(models: Path) -> None:
    with taken_port() as port, pytest.raises(StartError, match=f"127.0.0.1 port {port}"):
        server.run(settings(models, port=port), print)


@pytest.mark.parametrize("host", ["[none]", "a" * 64])
def test_a_host_that_is_none_is_an_error_of_the_start(models: Path, host: str) -> None:
    with pytest.raises(StartError, match=f"FOLDSERVE_HOST={re.escape(host)}: "):
        server.run(settings(models, port=0, host=host), print)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 -- not bound
        ("::", "http://[::1]:8000"),
        ("example.org", "http://example.org:8000"),
    ],
)
async def test_the_greeting_has_an_address_that_can_be_opened(
    models: Path, host: str, url: str
) -> None:
    service = Service(settings(models))
    await service.start()
    lines = list(greeting(service, (host, 8000)))
    await service.close()
    assert lines[0] == f"Foldserve is ready: {url}/"
    assert lines[1].endswith(f" {url}/models/brightness/predict")


@pytest.mark.anyio
async def test_the_example_names_the_image_that_is_there(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(settings(models))
    await service.start()
    monkeypatch.chdir(tmp_path)
    assert "@image.png " in list(greeting(service, ("localhost", 1)))[1]
    (tmp_path / "tests" / "data").mkdir(parents=True)
    (tmp_path / "tests" / "data" / "digit_7.png").touch()
    assert "@tests/data/digit_7.png " in list(greeting(service, ("localhost", 1)))[1]
    await service.close()


@pytest.mark.anyio
async def test_the_greeting_has_the_address_of_grpc(models: Path) -> None:
    service = Service(settings(models, grpc_port=9000))
    await service.start()
    assert list(greeting(service, ("::", 8000)))[2:] == ["gRPC: [::1]:9000"]
    await service.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({}, "--insecure"),
        ({"tls_client_ca": Path("ca")}, "--insecure --cert client.pem --key client.key"),
    ],
)
async def test_the_greeting_says_what_tls_needs(
    models: Path, more: dict[str, Path], options: str
) -> None:
    tls = {"tls_certificate": Path("c"), "tls_key": Path("k"), **more}
    service = Service(settings(models, grpc_port=9000, control_port=9001, **tls))
    await service.start()
    lines = list(greeting(service, ("127.0.0.1", 8000)))
    await service.close()
    assert lines[0] == "Foldserve is ready: https://127.0.0.1:8000/"
    assert lines[1].startswith(f"Try: curl {options} --data-binary @")
    assert lines[2:] == ["gRPC over TLS: 127.0.0.1:9000", "Control: http://127.0.0.1:9001"]


@pytest.mark.anyio
async def test_without_an_image_model_there_is_no_example(tmp_path: Path) -> None:
    zoo.put(tmp_path, "doubler", 1, zoo.doubler())
    service = Service(settings(tmp_path))
    await service.start()
    assert len(list(greeting(service, ("localhost", 1)))) == 1
    await service.close()


def test_the_command_prints_where_it_serves(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_MODELS", str(models))
    monkeypatch.setenv("FOLDSERVE_PORT", "0")
    monkeypatch.setenv("FOLDSERVE_LOG_FORMAT", "json")
    monkeypatch.setenv("FOLDSERVE_WORKERS", "1")
    operator = Operator(lambda _url: terminate())
    screen = Screen(operator)
    monkeypatch.setattr(sys, "stdout", screen)
    cli([], standalone_mode=False)
    operator.join()
    assert screen.getvalue().startswith("Foldserve is ready: http://127.0.0.1:")


def test_the_command_ends_with_2_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_PROT", "1")
    result = CliRunner().invoke(cli)
    assert result.exit_code == 2
    assert result.stderr == (
        "foldserve-serve: FOLDSERVE_PROT is no setting; did you mean FOLDSERVE_PORT?\n"
    )
