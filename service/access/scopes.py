"""What a key must be for: one table of HTTP paths and gRPC methods.

What the table does not name needs a key that is for predictions; only what looks whether the
server lives needs none.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from service.access.keys import Scope

_INFERENCE = "inference.GRPCInferenceService"
_HEALTH = "grpc.health.v1.Health"

EVERYTHING_ELSE: Scope = "predict"


class _Row(NamedTuple):
    path: str  # a pattern of the whole path
    methods: tuple[str, ...]
    scope: Scope | None


# The first row counts. Patterns are wide, so that a path of an odd form needs the stricter scope.
_TABLE = (
    _Row("/v2/health/live", (f"{_INFERENCE}/ServerLive", f"{_HEALTH}/Check"), None),
    _Row("/v2/health/ready", (f"{_INFERENCE}/ServerReady", f"{_HEALTH}/Watch"), None),
    _Row("/v2/repository/index", (f"{_INFERENCE}/RepositoryIndex",), "predict"),
    _Row(
        "/v2/repository.*",
        (f"{_INFERENCE}/RepositoryModelLoad", f"{_INFERENCE}/RepositoryModelUnload"),
        "control",
    ),
    _Row("/metrics.*|.*/stats", (f"{_INFERENCE}/ModelStatistics",), "metrics"),
)

_PATHS = tuple((re.compile(row.path, re.DOTALL), row.scope) for row in _TABLE)
_METHODS: Mapping[str, Scope | None] = MappingProxyType(
    {f"/{method}": row.scope for row in _TABLE for method in row.methods}
)
_OPEN = frozenset(row.path for row in _TABLE if row.scope is None)


def scope_of_path(path: str) -> Scope | None:
    """Return the scope that a path needs, None if it needs no key.

    Args:
        path: decoded, as the router reads it, which overlooks a line feed at the end.
    """
    if path in _OPEN:
        return None
    bare = path.rstrip()
    return next((scope for row, scope in _PATHS if row.fullmatch(bare)), None) or EVERYTHING_ELSE


def scope_of_method(method: str) -> Scope | None:
    """Return the scope that a gRPC method needs, None if it needs no key.

    Args:
        method: ``/package.Service/Method``.
    """
    return _METHODS.get(method, EVERYTHING_ELSE)
