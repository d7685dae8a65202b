"""A client for Foldserve's servers.

    from foldserve_client import Client

    with Client("http://127.0.0.1:8000") as client:
        print(client.predict("digits", "digit.png").best.label)

``AsyncClient`` has the same calls for ``async`` programs. The two share everything but the
waiting: ``calls`` says what is sent and how it is read, ``retries`` when it is sent again.
"""

from foldserve_client import errors
from foldserve_client.async_client import AsyncClient
from foldserve_client.client import Client
from foldserve_client.documents import (
    Classification,
    Duration,
    Model,
    Prediction,
    Server,
    Statistics,
    Tensor,
    Version,
)
from foldserve_client.errors import FoldserveError, ServiceError
from foldserve_client.retries import Retries

__all__ = [
    "AsyncClient",
    "Classification",
    "Client",
    "Duration",
    "FoldserveError",
    "Model",
    "Prediction",
    "Retries",
    "Server",
    "ServiceError",
    "Statistics",
    "Tensor",
    "Version",
    "errors",
]
