"""Everything that can go wrong, as one tree.

    FoldserveError
    ├── StartError                    the command prints it and exits with 2
    ├── ModelLoadError                one model is not served; GET /models shows the reason
    ├── BoardFull                     something is not counted any more; the log says what
    └── ServiceError                  reaches a client: code, HTTP status, message
        ├── BodyError                 the bytes of the request
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
        │   ├── ModelNotReady            503  model_not_ready
        │   ├── NotReady                 503  not_ready
        │   ├── ShuttingDown             503  shutting_down
        │   └── DeadlineExceeded         504  deadline_exceeded
        ├── RunError                  the model, or a bug
        │   ├── InferenceFailed          500  inference_failed
        │   ├── OutputNotFinite          500  output_not_finite
        │   └── InternalError            500  internal_error
        └── ControlError              a command to load or unload a model
            ├── ControlPlaneOff          403  control_plane_off
            └── LoadFailed               500  load_failed

The branches under ``ServiceError`` stand in the order in which a request meets them:
bytes → meaning → model → queue → run. Only the message of a ``ServiceError`` leaves the
building, so it names no path, no stack and nothing of another client.
"""

from typing import ClassVar


class FoldserveError(Exception):
    """Every error that this package raises on purpose."""


class StartError(FoldserveError):
    """The service cannot start; the message is one line that says why and what to do."""

    exit_status: ClassVar[int] = 2


class ModelLoadError(FoldserveError):
    """A model file cannot be served; the message names no path."""


class BoardFull(FoldserveError):
    """The memory that workers share has no room to count something new."""


class ServiceError(FoldserveError):
    """An error with an HTTP answer."""

    code: ClassVar[str]
    status: ClassVar[int]
    headers: ClassVar[dict[str, str]] = {}


class BodyError(ServiceError):
    """The bytes of the request cannot be read."""


class BodyTooLarge(BodyError):
    """The request body is larger than the server takes."""

    # Not "Connection: close": under a client that still sends, a reset would lose the answer.
    code = "body_too_large"
    status = 413


class BodyTimeout(BodyError):
    """The request body stopped coming."""

    code = "body_timeout"
    status = 408
    # As RFC 9110 asks of a 408: the peer is most likely gone.
    headers: ClassVar[dict[str, str]] = {"Connection": "close"}


class UnsupportedEncoding(BodyError):
    """The request body is in an encoding that the server does not read."""

    code = "unsupported_encoding"
    status = 415


class InvalidEncoding(BodyError):
    """The compressed request body is damaged, ends early or goes on behind its end."""

    code = "invalid_encoding"
    status = 400


class InvalidMultipart(BodyError):
    """The multipart body is damaged or has no part named file."""

    code = "invalid_multipart"
    status = 400


class InvalidJSON(BodyError):
    """The request body is not JSON."""

    code = "invalid_json"
    status = 400


class ContentError(ServiceError):
    """The bytes were read, and what they say cannot be done."""


class InvalidRequest(ContentError):
    """The inference request does not have the protocol's form."""

    code = "invalid_request"
    status = 400


class InvalidTensor(ContentError):
    """A tensor contradicts itself or the model's signature."""

    code = "invalid_tensor"
    status = 400


class BatchTooLarge(ContentError):
    """The request holds more rows than one run takes."""

    code = "batch_too_large"
    status = 400


class InvalidImage(ContentError):
    """The image is empty, truncated or damaged."""

    code = "invalid_image"
    status = 400


class UnsupportedImage(ContentError):
    """The body is not an image in a format that the server decodes."""

    code = "unsupported_image"
    status = 415


class ImageTooLarge(ContentError):
    """The image has more pixels than the server decodes."""

    code = "image_too_large"
    status = 413


class InvalidParameter(ContentError):
    """A parameter of the query has a wrong value."""

    code = "invalid_parameter"
    status = 422


class ModelTakesNoImages(ContentError):
    """The model's manifest does not say how to classify an image."""

    code = "model_takes_no_images"
    status = 422


class RoutingError(ServiceError):
    """The request names something that is not there."""


class NotFound(RoutingError):
    """The server has no such path."""

    code = "not_found"
    status = 404


class MethodNotAllowed(RoutingError):
    """The path does not take this method."""

    code = "method_not_allowed"
    status = 405


class ModelNotFound(RoutingError):
    """The repository has no model of this name."""

    code = "model_not_found"
    status = 404


class VersionNotFound(RoutingError):
    """The model has no such version."""

    code = "version_not_found"
    status = 404


class CapacityError(ServiceError):
    """The request is fine, and the server cannot answer it now."""


class QueueFull(CapacityError):
    """The queue is full; the request was refused at once."""

    code = "queue_full"
    status = 429
    # A full queue of a small model empties in far less; whole seconds are all the header can say.
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class ModelNotReady(CapacityError):
    """The model is in the repository and could not be loaded."""

    code = "model_not_ready"
    status = 503


class NotReady(CapacityError):
    """The server takes no requests now: it is starting or shutting down."""

    code = "not_ready"
    status = 503


class ShuttingDown(CapacityError):
    """The server is shutting down and admits nothing new."""

    code = "shutting_down"
    status = 503


class DeadlineExceeded(CapacityError):
    """The request was not answered within its time."""

    code = "deadline_exceeded"
    status = 504


class RunError(ServiceError):
    """The model failed on an admitted request."""


class InferenceFailed(RunError):
    """The model's run failed on this input."""

    code = "inference_failed"
    status = 500


class OutputNotFinite(RunError):
    """The model answered NaN or infinity, which JSON cannot carry."""

    code = "output_not_finite"
    status = 500


class InternalError(RunError):
    """An unexpected error; the log has it under the request id."""

    code = "internal_error"
    status = 500


class ControlError(ServiceError):
    """A command to the repository was not carried out."""


class ControlPlaneOff(ControlError):
    """Clients may not load and unload models here."""

    # Triton says 503, as if it were for now; only another setting and a new start change it.
    code = "control_plane_off"
    status = 403


class LoadFailed(ControlError):
    """A file in the model's folder could not be loaded; what was served before still is."""

    code = "load_failed"
    status = 500
