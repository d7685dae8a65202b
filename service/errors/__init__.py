"""Everything that can go wrong, as one tree.

    FoldserveError
    ├── StartError                    the command prints it and exits with 2
    ├── ModelLoadError                one model is not served; GET /models shows the reason
    ├── BoardFull                     something is not counted any more; the log says what
    └── ServiceError                  reaches a client: code, HTTP status, message
        ├── AccessError               who asks
        │   ├── Unauthorized             401  unauthorized
        │   ├── NotLocal                 403  not_local
        │   ├── Forbidden                403  forbidden
        │   └── RateLimited              429  rate_limited
        ├── BodyError                 the bytes of the request
        │   ├── MalformedRequest         400  malformed_request
        │   ├── TargetTooLong            414  target_too_long
        │   ├── HeadTooLarge             431  head_too_large
        │   ├── BodyTooLarge             413  body_too_large
        │   ├── BodyTimeout              408  body_timeout
        │   ├── UnsupportedEncoding      415  unsupported_encoding
        │   ├── InvalidEncoding          400  invalid_encoding
        │   ├── InvalidMultipart         400  invalid_multipart
        │   └── InvalidJSON              400  invalid_json
        ├── ContentError              what the bytes mean
        │   ├── InvalidRequest           400  invalid_request
        │   ├── InvalidTensor            400  invalid_tensor
        │   ├── BatchTooLarge            400  batch_too_large
        │   ├── InvalidImage             400  invalid_image
        │   ├── UnsupportedImage         415  unsupported_image
        │   ├── ImageTooLarge            413  image_too_large
        │   ├── InvalidParameter         422  invalid_parameter
        │   └── ModelTakesNoImages       422  model_takes_no_images
        ├── RoutingError              where the request went
        │   ├── NotFound                 404  not_found
        │   ├── MethodNotAllowed         405  method_not_allowed
        │   ├── ModelNotFound            404  model_not_found
        │   └── VersionNotFound          404  version_not_found
        ├── CapacityError             not now
        │   ├── QueueFull                429  queue_full
        │   ├── Overloaded               429  overloaded
        │   ├── ModelNotReady            503  model_not_ready
        │   ├── NotReady                 503  not_ready
        │   ├── ShuttingDown             503  shutting_down
        │   ├── TooManyConnections       503  too_many_connections
        │   └── DeadlineExceeded         504  deadline_exceeded
        ├── RunError                  the model, or a bug
        │   ├── InferenceFailed          500  inference_failed
        │   ├── RunTimedOut              504  run_timed_out
        │   ├── OutOfMemory              503  out_of_memory
        │   ├── OutputNotFinite          500  output_not_finite
        │   └── InternalError            500  internal_error
        └── ControlError              a command to load or unload a model
            ├── ControlPlaneOff          403  control_plane_off
            └── LoadFailed               500  load_failed

The branches under ``ServiceError`` stand in the order in which a request meets them:
client → bytes → meaning → model → queue → run. Only the message of a ``ServiceError`` leaves
the building, so it names no path, no stack and nothing of another client.
"""

from service.errors.roots import (
    BoardFull,
    FoldserveError,
    ModelLoadError,
    ServiceError,
    StartError,
)
from service.errors.access import AccessError, Forbidden, NotLocal, RateLimited, Unauthorized
from service.errors.request import (
    BatchTooLarge,
    BodyError,
    BodyTimeout,
    BodyTooLarge,
    ContentError,
    HeadTooLarge,
    ImageTooLarge,
    InvalidEncoding,
    InvalidImage,
    InvalidJSON,
    InvalidMultipart,
    InvalidParameter,
    InvalidRequest,
    InvalidTensor,
    MalformedRequest,
    MethodNotAllowed,
    ModelNotFound,
    ModelTakesNoImages,
    NotFound,
    RoutingError,
    TargetTooLong,
    UnsupportedEncoding,
    UnsupportedImage,
    VersionNotFound,
)
from service.errors.capacity import (
    CapacityError,
    DeadlineExceeded,
    ModelNotReady,
    NotReady,
    Overloaded,
    QueueFull,
    ShuttingDown,
    TooManyConnections,
)
from service.errors.run import (
    InferenceFailed,
    InternalError,
    OutOfMemory,
    OutputNotFinite,
    RunError,
    RunTimedOut,
)
from service.errors.control import ControlError, ControlPlaneOff, LoadFailed


def codes() -> list[str]:
    """Return the code of every error that a client may be told of."""
    found = (value for value in globals().values() if isinstance(value, type))
    return [each.code for each in found if issubclass(each, ServiceError) and "code" in vars(each)]


__all__ = [
    "AccessError",
    "BatchTooLarge",
    "BoardFull",
    "BodyError",
    "BodyTimeout",
    "BodyTooLarge",
    "CapacityError",
    "ContentError",
    "ControlError",
    "ControlPlaneOff",
    "DeadlineExceeded",
    "FoldserveError",
    "Forbidden",
    "HeadTooLarge",
    "ImageTooLarge",
    "InferenceFailed",
    "InternalError",
    "InvalidEncoding",
    "InvalidImage",
    "InvalidJSON",
    "InvalidMultipart",
    "InvalidParameter",
    "InvalidRequest",
    "InvalidTensor",
    "LoadFailed",
    "MalformedRequest",
    "MethodNotAllowed",
    "ModelLoadError",
    "ModelNotFound",
    "ModelNotReady",
    "ModelTakesNoImages",
    "NotFound",
    "NotLocal",
    "NotReady",
    "OutOfMemory",
    "OutputNotFinite",
    "Overloaded",
    "QueueFull",
    "RateLimited",
    "RoutingError",
    "RunError",
    "RunTimedOut",
    "ServiceError",
    "ShuttingDown",
    "StartError",
    "TargetTooLong",
    "TooManyConnections",
    "Unauthorized",
    "UnsupportedEncoding",
    "UnsupportedImage",
    "VersionNotFound",
    "codes",
]
