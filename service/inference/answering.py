"""One inference request, however it came: decoded, run, and counted in its model's metrics."""

from service.artifact.signature import Tensors
from service.inference.predictor import Predictor
from service.telemetry.timing import Timing
from service.wire.inference_request import InferenceRequest
from service.wire.v1_request import V1Request


async def infer(
    predictor: Predictor,
    request: InferenceRequest | V1Request,
    timing: Timing,
    deadline: float,
) -> Tensors:
    """Return every output of the model.

    Args:
        predictor: whose signature the request fits.
        request: of tensors, or of encoded images.
        timing: told the seconds of each stage.
        deadline: on the clock of ``time.monotonic``.

    Raises:
        ContentError, CapacityError, RunError: as the stages say.
    """
    rows, ok = 0, False
    try:
        inputs = request.inputs
        if request.images is not None:
            inputs = await predictor.image_tensors(request.images, timing, deadline)
        outputs = await predictor.infer(inputs, timing, deadline)
        rows, ok = predictor.rows(inputs), True
        return outputs
    finally:
        predictor.metrics.request(timing, rows, ok)
