"""What a person reads once the service is ready: where it is, and a request that works."""

from collections.abc import Iterator
from pathlib import Path

from service.access.loopback import LOOPBACK
from service.lifecycle import Service

# In a checkout of this project the example is one that can be pasted as it is.
EXAMPLE_IMAGE = Path("tests/data/digit_7.png")


def greeting(service: Service, address: tuple[str, int]) -> Iterator[str]:
    """Give the lines for a person: the page, a request that works, the other addresses.

    Args:
        service: ready.
        address: the host and port that are listened on.
    """
    host = _reachable(address[0])
    url = f"http://{host}:{address[1]}"
    yield f"Foldserve is ready: {url}/docs"
    model = _first_image_model(service)
    if model is not None:
        image = EXAMPLE_IMAGE if EXAMPLE_IMAGE.is_file() else "image.png"
        yield f"Try: curl --data-binary @{image} {url}/models/{model}/predict"
    if service.settings.grpc_port is not None:
        yield f"gRPC: {host}:{service.settings.grpc_port}"
    if service.settings.control_port is not None:
        yield f"Control: http://{LOOPBACK}:{service.settings.control_port}"
    if service.settings.control_grpc_port is not None:
        yield f"Control over gRPC: {LOOPBACK}:{service.settings.control_grpc_port}"


def _reachable(host: str) -> str:
    """Return a host that a client on this machine can use."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not bound here
    return f"[{host}]" if ":" in host else host


def _first_image_model(service: Service) -> str | None:
    for entry in service.repository:
        manifest = entry.predictor.model.manifest if entry.predictor else None
        if manifest is not None and manifest.image is not None:
            return entry.name
    return None
