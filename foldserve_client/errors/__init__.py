"""Everything that a call can raise, as one tree.

    FoldserveError
    ├── InvalidCall                   what was given cannot be sent; nothing was
    ├── CertificateRefused            the server's certificate is not one that is trusted
    ├── ConnectionFailed              no answer: the connection was refused, reset or ended
    ├── TimedOut                      no answer within the call's time
    ├── InvalidAnswer                 an answer that is none of a Foldserve server's
    └── ServiceError                  the server's: status, code, request_id, retry_after_s
        ├── AccessError               401, 403
        │   ├── Unauthorized              unauthorized
        │   ├── NotLocal                  not_local
        │   ├── Forbidden                 forbidden
        │   └── RateLimited               rate_limited
        ├── BodyError                 408, 413, 414, 431
        │   ├── MalformedRequest          malformed_request
        │   ├── TargetTooLong             target_too_long
        │   ├── HeadTooLarge              head_too_large
        │   ├── BodyTooLarge              body_too_large
        │   ├── BodyTimeout               body_timeout
        │   ├── UnsupportedEncoding       unsupported_encoding
        │   ├── InvalidEncoding           invalid_encoding
        │   ├── InvalidMultipart          invalid_multipart
        │   └── InvalidJSON               invalid_json
        ├── ContentError              every other 4xx
        │   ├── InvalidRequest            invalid_request
        │   ├── InvalidTensor             invalid_tensor
        │   ├── BatchTooLarge             batch_too_large
        │   ├── InvalidImage              invalid_image
        │   ├── UnsupportedImage          unsupported_image
        │   ├── ImageTooLarge             image_too_large
        │   ├── InvalidParameter          invalid_parameter
        │   └── ModelTakesNoImages        model_takes_no_images
        ├── RoutingError              404, 405
        │   ├── NotFound                  not_found
        │   ├── MethodNotAllowed          method_not_allowed
        │   ├── ModelNotFound             model_not_found
        │   └── VersionNotFound           version_not_found
        ├── CapacityError             429, 502, 503, 504
        │   ├── QueueFull                 queue_full
        │   ├── Overloaded                overloaded
        │   ├── ModelNotReady             model_not_ready
        │   ├── NotReady                  not_ready
        │   ├── ShuttingDown              shutting_down
        │   ├── TooManyConnections        too_many_connections
        │   └── DeadlineExceeded          deadline_exceeded
        ├── RunError                  every other 5xx
        │   ├── InferenceFailed           inference_failed
        │   ├── RunTimedOut               run_timed_out
        │   ├── OutOfMemory               out_of_memory
        │   ├── OutputNotFinite           output_not_finite
        │   └── InternalError             internal_error
        └── ControlError
            ├── ControlPlaneOff           control_plane_off
            └── LoadFailed                load_failed

A leaf is one code of the server, in the order and the branches of its own tree. What has no code
that is known here, as the answer of a proxy in between or of a newer server, is the branch of its
status.
"""

from foldserve_client.errors.roots import (
    CertificateRefused,
    ConnectionFailed,
    FoldserveError,
    InvalidAnswer,
    InvalidCall,
    ServiceError,
    TimedOut,
)
from foldserve_client.errors.access import (
    AccessError,
    Forbidden,
    NotLocal,
    RateLimited,
    Unauthorized,
)
from foldserve_client.errors.request import (
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
from foldserve_client.errors.capacity import (
    CapacityError,
    DeadlineExceeded,
    ModelNotReady,
    NotReady,
    Overloaded,
    QueueFull,
    ShuttingDown,
    TooManyConnections,
)
from foldserve_client.errors.run import (
    InferenceFailed,
    InternalError,
    OutOfMemory,
    OutputNotFinite,
    RunError,
    RunTimedOut,
)
from foldserve_client.errors.control import ControlError, ControlPlaneOff, LoadFailed

__all__ = [
    "AccessError",
    "BatchTooLarge",
    "BodyError",
    "BodyTimeout",
    "BodyTooLarge",
    "CapacityError",
    "CertificateRefused",
    "ConnectionFailed",
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
    "InvalidAnswer",
    "InvalidCall",
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
    "TargetTooLong",
    "TimedOut",
    "TooManyConnections",
    "Unauthorized",
    "UnsupportedEncoding",
    "UnsupportedImage",
    "VersionNotFound",
]
