"""What is wrong with a request: its bytes, what they mean, where it went."""

from collections.abc import Mapping
from types import MappingProxyType

from service.errors.roots import ServiceError


class BodyError(ServiceError):
    """The bytes of the request cannot be read."""


class MalformedRequest(BodyError):
    """What came over the connection is no request of HTTP/1.1, or cannot be told from two."""

    code = "malformed_request"
    status = 400


class TargetTooLong(BodyError):
    """The path of the request, with its query, is longer than the server takes."""

    code = "target_too_long"
    status = 414


class HeadTooLarge(BodyError):
    """The head of the request, or what stands behind its body, is larger than the server takes."""

    code = "head_too_large"
    status = 431


class BodyTooLarge(BodyError):
    """The request body is larger than the server takes."""

    # Not "Connection: close": under a client that still sends, a reset would lose the answer.
    code = "body_too_large"
    status = 413


class BodyTimeout(BodyError):
    """The request body did not come in its time."""

    code = "body_timeout"
    status = 408
    # As RFC 9110 asks of a 408: the peer is most likely gone.
    headers: Mapping[str, str] = MappingProxyType({"Connection": "close"})


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
