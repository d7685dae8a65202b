"""What a person reads once the service is ready: where it is, and a request that works."""

from collections.abc import Iterator
from pathlib import Path

from service.access.loopback import LOOPBACK
from service.lifecycle import Service
from service.machine.addresses import in_url, reachable
from service.settings import Settings

# In a checkout of this project the example is one that can be pasted as it is.
EXAMPLE_IMAGE = Path("tests/data/digit_7.png")


def greeting(service: Service, address: tuple[str, int]) -> Iterator[str]:
    """Give the lines for a person: the page, a request that works, the other addresses.

    Args:
        service: ready.
        address: the host and port that are listened on.
    """
    host = in_url(reachable(address[0]))
    settings = service.settings
    is_secure = settings.tls_certificate is not None
    url = f"{'https' if is_secure else 'http'}://{host}:{address[1]}"
    yield f"Foldserve is ready: {url}/"
    model = _first_image_model(service)
    if model is not None:
        image = EXAMPLE_IMAGE if EXAMPLE_IMAGE.is_file() else "image.png"
        options = "".join(f"{option} " for option in _curl_options(settings))
        yield f"Try: curl {options}--data-binary @{image} {url}/models/{model}/predict"
    if settings.grpc_port is not None:
        yield f"gRPC{' over TLS' if is_secure else ''}: {host}:{settings.grpc_port}"
    if settings.control_port is not None:
        yield f"Control: http://{LOOPBACK}:{settings.control_port}"
    if settings.control_grpc_port is not None:
        yield f"Control over gRPC: {LOOPBACK}:{settings.control_grpc_port}"


def _curl_options(settings: Settings) -> Iterator[str]:
    """Give what curl needs to be told on this machine, for whose address no certificate is."""
    if settings.tls_certificate is not None:
        yield "--insecure"
    if settings.tls_client_ca is not None:
        yield "--cert client.pem --key client.key"


def _first_image_model(service: Service) -> str | None:
    for entry in service.repository:
        manifest = entry.predictor.model.manifest if entry.predictor else None
        if manifest is not None and manifest.image is not None:
            return entry.name
    return None
