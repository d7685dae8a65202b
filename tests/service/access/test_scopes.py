"""One table says what a key must be for, over HTTP and over gRPC."""

import pytest

from service.access.scopes import scope_of_method, scope_of_path

INFERENCE = "/inference.GRPCInferenceService"


@pytest.mark.parametrize(
    ("path", "method", "scope"),
    [
        ("/v2/health/live", f"{INFERENCE}/ServerLive", None),
        ("/v2/health/ready", f"{INFERENCE}/ServerReady", None),
        ("/v2/health/ready", "/grpc.health.v1.Health/Watch", None),
        ("/v2/models/m/infer", f"{INFERENCE}/ModelInfer", "predict"),
        ("/v2/models/m/ready", f"{INFERENCE}/ModelReady", "predict"),
        ("/v2/repository/index", f"{INFERENCE}/RepositoryIndex", "predict"),
        ("/v2/models/m/stats", f"{INFERENCE}/ModelStatistics", "metrics"),
        ("/v2/repository/models/m/load", f"{INFERENCE}/RepositoryModelLoad", "control"),
        ("/v2/repository/models/m/unload", f"{INFERENCE}/RepositoryModelUnload", "control"),
        ("/nothing", "/nothing/Nothing", "predict"),
    ],
)
def test_both_protocols_need_the_same(path: str, method: str, scope: str | None) -> None:
    assert scope_of_path(path) == scope_of_method(method) == scope


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v2/health/live\n", "predict"),
        ("/v2/health/live/", "predict"),
        ("/v2/repository/index\n", "predict"),
        ("/v2/repository/models/a\nb/load\n", "control"),
        ("/v2/repository", "control"),
        ("/v2/repository/index/", "control"),
        ("/metrics/", "metrics"),
        ("/v2/models/a\nb/stats\n", "metrics"),
        ("", "predict"),
    ],
)
def test_an_odd_path_is_never_open_and_needs_the_stricter_scope(path: str, scope: str) -> None:
    assert scope_of_path(path) == scope
