"""Which gRPC status each error ends with."""

from collections.abc import Iterator

import pytest
from grpc import StatusCode  # type: ignore[import-untyped]  # it has no types

from service import errors
from service.errors import ServiceError
from service.rpc.status import status_code

EXPECTED = {
    StatusCode.INVALID_ARGUMENT: (
        errors.InvalidRequest,
        errors.InvalidTensor,
        errors.InvalidImage,
        errors.UnsupportedImage,
        errors.ImageTooLarge,
        errors.BatchTooLarge,
        errors.ModelTakesNoImages,
    ),
    StatusCode.NOT_FOUND: (errors.ModelNotFound, errors.VersionNotFound),
    StatusCode.RESOURCE_EXHAUSTED: (
        errors.QueueFull,
        errors.Overloaded,
        errors.BodyTooLarge,
        errors.OutOfMemory,
    ),
    StatusCode.UNAVAILABLE: (errors.ModelNotReady, errors.NotReady, errors.ShuttingDown),
    StatusCode.DEADLINE_EXCEEDED: (errors.DeadlineExceeded, errors.RunTimedOut),
    StatusCode.PERMISSION_DENIED: (errors.ControlPlaneOff,),
    StatusCode.INTERNAL: (errors.InferenceFailed, errors.InternalError),
}


@pytest.mark.parametrize(
    ("error", "code"), [(error, code) for code, found in EXPECTED.items() for error in found]
)
def test_an_error_ends_with_its_status(error: type[ServiceError], code: StatusCode) -> None:
    assert status_code(error) is code


def leaves(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in error.__subclasses__():
        yield from leaves(child)
    if not error.__subclasses__():
        yield error


@pytest.mark.parametrize("error", list(leaves(ServiceError)))
def test_what_is_the_clients_fault_over_http_is_so_here(error: type[ServiceError]) -> None:
    internal = status_code(error) is StatusCode.INTERNAL
    assert internal == (error.status == 500)
