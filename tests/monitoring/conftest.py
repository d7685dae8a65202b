"""A real server under load, and a real Prometheus that reads it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.monitoring.prometheus import (
    MONITORING,
    SCRAPE_S,
    Prometheus,
    configure,
    prometheus,
    until,
)
from tests.service import zoo
from tests.service.pictures import grey
from tests.service.servers import PATIENCE_S, Server, server

TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}

# Scrapes that saw the load: a rate needs two of them.
SCRAPES = 4


@dataclass(frozen=True)
class Monitored:
    """A server that has had every kind of request, and what Prometheus knows of it.

    Args:
        server: of two workers.
        prometheus: with the project's rules.
        exposition: what the server tells after the load.
    """

    server: Server
    prometheus: Prometheus
    exposition: str


@pytest.fixture(scope="package")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    zoo.put(models, "m", 1, zoo.doubler())
    zoo.put(models, "log", 1, zoo.logarithm())
    zoo.put(models, "broken", 1, zoo.doubler()).write_bytes(b"garbage")
    folder = tmp_path_factory.mktemp("monitoring")
    with server(models, WORKERS=2, GRPC_PORT=0) as running:
        file = configure(folder, MONITORING / "no_key", f"127.0.0.1:{running.port}")
        with prometheus(file) as reading:
            _load(running, reading)
            exposition = httpx.get(f"{running.url}/metrics").text
            yield Monitored(running, reading, exposition)


def _load(running: Server, reading: Prometheus) -> None:
    """Ask in every way, well and badly, while Prometheus looks."""
    scrapes = f'count_over_time(foldserve_build_info{{job="foldserve"}}[1h]) > {SCRAPES}'
    while not reading.query(scrapes):
        ended = time.monotonic() + SCRAPE_S
        _ask(running)
        time.sleep(max(0.0, ended - time.monotonic()))  # few: each failed run is a line in the log
    until(lambda: _is_evaluated(reading), lambda: reading.get("rules"))


def _ask(running: Server) -> None:
    with httpx.Client(base_url=running.url, timeout=PATIENCE_S) as client:
        for _ in range(3):
            client.post("/v2/models/m/infer", json={"inputs": [TENSOR]})
            client.post("/models/brightness/predict", content=grey(0))
            client.post("/v2/models/log/infer", json={"inputs": [TENSOR | {"data": [0, 0, 0]}]})
        client.post("/models/brightness/predict", content=b"no image")


def _is_evaluated(reading: Prometheus) -> bool:
    """Whether the rules have seen the load: the last of the alerts whose cause is in it."""
    names = {each["metric"]["alertname"] for each in reading.query("ALERTS")}
    return names >= {"FoldserveModelNotReady", "FoldserveErrorsBurnFast"}
