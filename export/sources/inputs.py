"""What a graph takes, made to take images as the service sends them where the options say so."""

import onnx_ir as ir

from export.errors import UsageError
from export.sources import layout
from export.sources.options import SourceOptions, check_fits, describe_input
from export.sources.original import ImageInput, Reference, TensorInput
from export.sources.pixels import normalization, prepend

Described = tuple[ImageInput | TensorInput, Reference | None]


def described(
    model: ir.Model, options: SourceOptions, reference: Reference | None = None
) -> Described:
    """Describe the input of a model; for images, put layout and normalization before it, in place.

    Args:
        model: The model.
        options: What the user said; `input_shape` stands for sizes that the graph leaves free.
        reference: The same network in float64.

    Returns:
        The description, and `reference` with the same in front of it.

    Raises:
        UsageError: The options do not fit the model.
    """
    if options.input_shape is not None:
        _check_shape(model, options.input_shape)
    shape = options.input_shape or static_shape(model)
    if options.is_image and shape is not None and layout.is_channels_last(shape):
        (image,) = _inputs(model)
        layout.take_channels_first(model, image)
        shape = layout.channels_first(shape)
        reference = layout.before(reference, str(image.name)) if reference else None
    description = describe_input(options, shape)
    steps = normalization(options.mean, options.std)
    if steps is not None:
        pixels = _pixels(model)
        prepend(model, pixels, steps)
        reference = steps.before(reference, str(pixels.name)) if reference else None
    return description, reference


def static_shape(model: ir.Model) -> tuple[int, ...] | None:
    """Shape of one input without the batch, if there is one input whose shape is known."""
    inputs = _inputs(model)
    if len(inputs) != 1 or inputs[0].shape is None:
        return None
    sizes = [size for size in inputs[0].shape.dims[1:] if isinstance(size, int)]
    return tuple(sizes) if len(sizes) == inputs[0].shape.rank() - 1 else None


def _inputs(model: ir.Model) -> list[ir.Value]:
    """The inputs without a default value."""
    return [value for value in model.graph.inputs if not value.is_initializer()]


def _check_shape(model: ir.Model, given: tuple[int, ...]) -> None:
    """Refuse a shape that is not that of the one input."""
    inputs = _inputs(model)
    if len(inputs) != 1:
        raise UsageError(f"--input: the model has {len(inputs)} inputs, not one of a free shape")
    (value,) = inputs
    if value.shape is not None:
        sizes = [size if isinstance(size, int) else None for size in value.shape.dims[1:]]
        check_fits(given, sizes, f"'{value.name}'")


def _pixels(model: ir.Model) -> ir.Value:
    """The one input, of floats, that pixels can be normalized for."""
    (value,) = _inputs(model)  # of several no shape is known, and without one they are no image
    if value.dtype is None or not value.dtype.is_floating_point():
        raise UsageError(f"--mean, --std: the input is {value.dtype}, it must be a float")
    return value
