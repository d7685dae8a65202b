"""The gRPC port of a real process."""

from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it has no types
import pytest

from service.rpc.messages import SERVICE, protocol
from tests.service.servers import refused, server, taken_port

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_port_is_told_in_one_line(models: Path, workers: int) -> None:
    with taken_port() as port:
        line = refused(models, GRPC_PORT=port, WORKERS=workers)
    assert line == (
        f"foldserve-serve: cannot listen for gRPC on 127.0.0.1 port {port}: Address already in"
        " use; set FOLDSERVE_GRPC_PORT to a port that is free"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104 -- a test's
@pytest.mark.parametrize("workers", [1, 2])
def test_the_greeting_names_an_address_that_answers(models: Path, host: str, workers: int) -> None:
    messages = protocol().messages
    with server(models, HOST=host, GRPC_PORT=0, WORKERS=workers) as process:
        with grpc.insecure_channel(process.grpc) as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/ServerReady",
                response_deserializer=messages.ServerReadyResponse.FromString,
            )
            assert call(b"", wait_for_ready=True).ready
        assert process.stop() == 0
