"""What is wrong with a request: its bytes, what they mean, where it went."""

from foldserve_client.errors.roots import ServiceError


class BodyError(ServiceError):
    """The bytes of the request cannot be read."""


class MalformedRequest(BodyError):
    """What came over the connection is no request of HTTP/1.1, or cannot be told from two."""

    code = "malformed_request"


class TargetTooLong(BodyError):
    """The path of the request, with its query, is longer than the server takes."""

    code = "target_too_long"


class HeadTooLarge(BodyError):
    """The head of the request, or what stands behind its body, is larger than the server takes."""

    code = "head_too_large"


class BodyTooLarge(BodyError):
    """The request body is larger than the server takes."""

    code = "body_too_large"


class BodyTimeout(BodyError):
    """The request body did not come in its time."""

    code = "body_timeout"


class UnsupportedEncoding(BodyError):
    """The request body is in an encoding that the server does not read."""

    code = "unsupported_encoding"


class InvalidEncoding(BodyError):
    """The compressed request body is damaged, ends early or goes on behind its end."""

    code = "invalid_encoding"


class InvalidMultipart(BodyError):
    """The multipart body is damaged or has no part named file."""

    code = "invalid_multipart"


class InvalidJSON(BodyError):
    """The request body is not JSON."""

    code = "invalid_json"


class ContentError(ServiceError):
    """The bytes were read, and what they say cannot be done."""


class InvalidRequest(ContentError):
    """The inference request does not have the protocol's form."""

    code = "invalid_request"


class InvalidTensor(ContentError):
    """A tensor contradicts itself or the model's signature."""

    code = "invalid_tensor"


class BatchTooLarge(ContentError):
    """The request holds more rows than one run takes."""

    code = "batch_too_large"


class InvalidImage(ContentError):
    """The image is empty, truncated or damaged."""

    code = "invalid_image"


class UnsupportedImage(ContentError):
    """The body is not an image in a format that the server decodes."""

    code = "unsupported_image"


class ImageTooLarge(ContentError):
    """The image has more pixels than the server decodes."""

    code = "image_too_large"


class InvalidParameter(ContentError):
    """A parameter of the query has a wrong value."""

    code = "invalid_parameter"


class ModelTakesNoImages(ContentError):
    """The model's manifest does not say how to classify an image."""

    code = "model_takes_no_images"


class RoutingError(ServiceError):
    """The request names something that is not there."""


class NotFound(RoutingError):
    """The server has no such path."""

    code = "not_found"


class MethodNotAllowed(RoutingError):
    """The path does not take this method."""

    code = "method_not_allowed"


class ModelNotFound(RoutingError):
    """The repository has no model of this name."""

    code = "model_not_found"


class VersionNotFound(RoutingError):
    """The model has no such version."""

    code = "version_not_found"
