"""One served model: arrays or an image in, arrays or predictions out, and no HTTP.

A predictor owns the model's batcher and what runs it. Models whose rows are not independent
run unbatched: every request is a run of its own.
"""

import asyncio
import math
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace

from service.artifact.manifest import ImageInput
from service.artifact.signature import Tensors, TensorSpec
from service.batching.admission import Limits
from service.batching.batcher import Batcher
from service.batching.waiting import Answered, Call, Promise
from service.errors import BatchTooLarge, CapacityError, InvalidTensor, ModelTakesNoImages
from service.images.decoding import Decoder
from service.images.postprocessing import Prediction, probabilities, rank
from service.images.rows import ImageRows
from service.inference.assembly import run_together
from service.inference.model import Model
from service.telemetry.metrics import ModelMetrics
from service.telemetry.timing import Timing
from service.wire.request_reader import RequestReader

Waiter = Call[Tensors, Tensors]

# The runtime looks at the flag between two operators; one of a large network takes less.
_TERMINATION_S = 2.0


class Predictor:
    """Answers for one version of one model; made inside a running event loop.

    Args:
        model: open, and owned by the predictor from here on.
        decoder: shared by all models.
        limits: the batcher's.
        metrics: told of each run.
        request_timeout_s: from admission to the answer.
        max_image_pixels: of one image.
        scaled_decoding: whether large JPEGs may be decoded smaller, near the exact pixels.
        batches: whether requests may share a run.
        in_place: whether runs are so short that the event loop does them itself, until one
            is not.
        buckets: rising numbers of rows; a batch is padded to the next one.
    """

    def __init__(
        self,
        model: Model,
        decoder: Decoder,
        limits: Limits,
        metrics: ModelMetrics,
        *,
        request_timeout_s: float,
        max_image_pixels: int,
        scaled_decoding: bool = False,
        batches: bool,
        in_place: bool = False,
        buckets: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.batches = batches
        self.metrics = metrics
        image = model.manifest.image if model.manifest else None
        self.reader = RequestReader(model.signature, image)
        self._request_timeout_s = request_timeout_s
        self._images = ImageRows(decoder, max_image_pixels, scaled=scaled_decoding)
        self._max_batch_size = limits.max_batch_size
        self._buckets = buckets
        self._row_numbers = sum(math.prod(_fixed(spec)) for spec in model.signature.outputs)
        self._open_inputs = [spec.name for spec in model.signature.inputs if _has_open_sizes(spec)]
        self._batcher: Batcher[Tensors, Tensors] = Batcher(
            self._run_batched if batches else self._run_alone,
            # A request of an unbatched model counts as one row, whatever its tensors hold.
            limits if batches else replace(limits, max_batch_size=1),
            in_place=in_place,
            on_run=metrics.run,
        )
        metrics.watch_queue(
            lambda: self._batcher.waiting_rows,
            lambda: self._batcher.running_rows,
            limits.max_queue_size,
        )

    @property
    def in_place(self) -> bool:
        """Whether the event loop does the runs itself, now."""
        return self._batcher.in_place

    @property
    def runs_at_once(self) -> bool:
        """Whether a request is run before its client could go away."""
        return self._batcher.runs_at_once

    def deadline(self, timeout_s: float | None = None) -> float:
        """Return when a request that is admitted now is late, on the clock of ``time.monotonic``.

        Args:
            timeout_s: the request's own, which can only be shorter than the setting's.
        """
        setting = self._request_timeout_s
        return time.monotonic() + (setting if timeout_s is None else min(timeout_s, setting))

    def check_room(self) -> None:
        """Refuse a request that is not read yet, and would be refused when it is.

        Raises:
            CapacityError: not even one row would be answered in time; counted as a request.
        """
        try:
            self._batcher.check_room(self.deadline())
        except CapacityError:
            self.metrics.request(Timing(), 0, ok=False)
            raise

    async def infer(
        self, inputs: Tensors, timing: Timing, deadline: float | None = None
    ) -> Tensors:
        """Return every output for the inputs of one request.

        Args:
            inputs: every input of the signature, of its datatype and shape.
            timing: told the seconds in the queue and in the run.
            deadline: on the clock of ``time.monotonic``; by default the request timeout from now.

        Raises:
            InvalidTensor: the inputs do not have the same number of rows.
            CapacityError, RunError: as the batcher and the model say.
        """
        if deadline is None:
            deadline = self.deadline()
        rows, key = self.rows(inputs), self._key(inputs)
        timing.rows = rows
        answered = await self._batcher.submit(inputs, rows=rows, key=key, deadline=deadline)
        outputs, timing.queue_s, timing.run = answered
        timing.infer_s = timing.run[2]
        return outputs

    def offer(self, inputs: Tensors, answer: Promise[Answered[Tensors]], deadline: float) -> Waiter:
        """Run a model for a caller that does not wait; ``answer`` is given every output.

        Args:
            inputs: every input of the signature, of its datatype and shape.
            answer: takes the outputs, or what went wrong.
            deadline: on the clock of ``time.monotonic``.

        Returns:
            What ``withdraw`` takes.

        Raises:
            InvalidTensor: the inputs do not have the same number of rows.
            CapacityError, BatchTooLarge: not admitted.
        """
        rows, key = self.rows(inputs), self._key(inputs)
        return self._batcher.offer(inputs, answer, rows=rows, key=key, deadline=deadline)

    def withdraw(self, waiter: Waiter) -> None:
        """Let who was offered and waits no longer leave the queue; its answer says so, too."""
        self._batcher.withdraw(waiter)

    def rows(self, inputs: Tensors) -> int:
        """Return how many rows a request counts; one, where requests do not share a run.

        Raises:
            InvalidTensor: the inputs do not have the same number of rows.
        """
        return _rows(inputs) if self.batches else 1

    def answer_numbers(self, inputs: Tensors) -> int:
        """Return how many numbers the outputs hold; sizes that a graph leaves open count once."""
        return self._row_numbers * self.rows(inputs)

    async def image_tensors(
        self, images: Sequence[bytes], timing: Timing, deadline: float
    ) -> Tensors:
        """Return the model's inputs for image files, a row each, decoded side by side.

        Args:
            images: of formats that are decoded.
            timing: told the seconds of them all.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            ModelTakesNoImages: the manifest states no image input.
            BatchTooLarge: more images than one run takes, of which none is decoded.
            ContentError, CapacityError: as the decoder says of the first that fails.
        """
        spec = self._image_input()
        # Also where a request is a run of its own: a small file becomes a large tensor.
        if len(images) > self._max_batch_size:
            raise BatchTooLarge(
                f"the request has {len(images)} images, a run takes {self._max_batch_size}"
            )
        began = time.monotonic()
        if not timing.decode_s:
            timing.decode_began = began
        rows = await self._images.decoded(images, spec, deadline)
        timing.decode_s += time.monotonic() - began  # to what it took to read the request
        return {spec.name: rows}

    async def classify(self, image: bytes, top_k: int, timing: Timing) -> list[Prediction]:
        """Return the likeliest classes of one image file; it is counted as a request.

        Args:
            image: of a format that is decoded.
            top_k: how many classes.
            timing: told the seconds of each stage.

        Raises:
            ModelTakesNoImages: the manifest states no image input or no classes.
            ContentError, CapacityError, RunError: as the stages say, the first of which is that
                there is room.
        """
        self.check_room()
        deadline, ok = self.deadline(), False
        try:
            inputs = await self.image_tensors([image], timing, deadline)
            outputs = await self.infer(inputs, timing, deadline)
            ok = True
        finally:
            self.metrics.request(timing, 1, ok)
        manifest = self.model.manifest
        assert manifest is not None  # noqa: S101 -- for the type: without one there is no image
        assert manifest.output is not None  # noqa: S101 -- likewise
        scores = outputs[manifest.output.name][0]
        chances = probabilities(scores, manifest.output.kind, manifest.temperature)
        return rank(chances, manifest.labels, top_k)

    def stop_admitting(self) -> None:
        """Refuse every request from now on."""
        self._batcher.stop_admitting()

    async def close(self, grace_s: float) -> bool:
        """Drain and end; return whether everything admitted was answered."""
        drained = await self._batcher.close(grace_s)
        self.model.terminate()
        if not drained:  # a process that ends under a run of the runtime's is aborted
            await asyncio.to_thread(self._batcher.join, _TERMINATION_S)
        return drained

    def _run_batched(self, requests: Sequence[Tensors]) -> Sequence[Tensors]:
        return run_together(self.model, requests, self._buckets)

    def _run_alone(self, requests: Sequence[Tensors]) -> Sequence[Tensors]:
        return [self.model.run(inputs) for inputs in requests]

    def _key(self, inputs: Tensors) -> Hashable:
        """Return what rows must have in common to be one array; mostly the signature says it."""
        if not (self._open_inputs and self.batches):
            return None
        return tuple(inputs[name].shape[1:] for name in self._open_inputs)

    def _image_input(self) -> ImageInput:
        manifest = self.model.manifest
        if manifest is None or manifest.image is None:
            raise ModelTakesNoImages("this model takes tensors: use its /v2 infer endpoint")
        return manifest.image


def _fixed(spec: TensorSpec) -> list[int]:
    """Return the sizes of a row that the graph states."""
    return [dim for dim in spec.shape[1:] if isinstance(dim, int)]


def _has_open_sizes(spec: TensorSpec) -> bool:
    """Return whether rows may be of different shapes."""
    return not all(isinstance(dim, int) for dim in spec.shape[1:])


def _rows(inputs: Tensors) -> int:
    if len(inputs) == 1:
        (array,) = inputs.values()
        return len(array)
    counts = {len(array) for array in inputs.values()}
    if len(counts) != 1:
        raise InvalidTensor(f"inputs have different numbers of rows: {sorted(counts)}")
    return counts.pop()
