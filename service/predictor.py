"""One served model: arrays or an image in, arrays or predictions out, and no HTTP.

A predictor owns the model's batcher and the thread that runs it. Models whose rows are not
independent run unbatched: every request is a run of its own.
"""

import asyncio
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from service.batching import Batcher, Limits
from service.decoding import Decoder
from service.errors import InferenceFailed, InvalidTensor, ModelTakesNoImages
from service.metrics import ModelMetrics
from service.model import Model
from service.postprocessing import Prediction, probabilities, rank
from service.preprocessing import image_tensor
from service.signature import Tensors


class Predictor:
    """Answers for one version of one model; made inside a running event loop.

    Args:
        model: open, and owned by the predictor from here on.
        decoder: shared by all models.
        limits: the batcher's.
        metrics: told of each run; the endpoints tell it of each request.
        request_timeout_s: from admission to the answer.
        max_image_pixels: of one image.
        batches: whether requests may share a run.
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
        batches: bool,
    ) -> None:
        self.model = model
        self.batches = batches
        self._decoder = decoder
        self._request_timeout_s = request_timeout_s
        self._max_image_pixels = max_image_pixels
        self.metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(limits.runners, thread_name_prefix="runner")
        self._batcher: Batcher[Tensors, Tensors] = Batcher(self._run, limits)
        metrics.watch_queue(lambda: self._batcher.waiting_rows)

    def deadline(self) -> float:
        """Return when a request that is admitted now is late, on the loop's clock."""
        return self._loop.time() + self._request_timeout_s

    async def infer(self, inputs: Tensors, deadline: float | None = None) -> Tensors:
        """Return every output for the inputs of one request.

        Args:
            inputs: every input of the signature, of its datatype and shape.
            deadline: on the loop's clock; by default the request timeout from now.

        Raises:
            InvalidTensor: the inputs do not have the same number of rows.
            CapacityError, RunError: as the batcher and the model say.
        """
        if deadline is None:
            deadline = self.deadline()
        if not self.batches:
            return await self._batcher.submit(inputs, key=object(), deadline=deadline)
        rows = _rows(inputs)
        # Rows of different sizes, where a graph leaves them open, cannot be one array.
        key = tuple(inputs[spec.name].shape[1:] for spec in self.model.signature.inputs)
        return await self._batcher.submit(inputs, rows=rows, key=key, deadline=deadline)

    async def classify(self, image: bytes, top_k: int) -> list[Prediction]:
        """Return the likeliest classes of one image file.

        Raises:
            ModelTakesNoImages: the manifest states no image input or no classes.
            ContentError, CapacityError, RunError: as the stages say.
        """
        manifest = self.model.manifest
        if manifest is None or manifest.image is None or manifest.output is None:
            raise ModelTakesNoImages("this model takes tensors: use its /v2 infer endpoint")
        deadline = self.deadline()
        decode = functools.partial(image_tensor, image, manifest.image, self._max_image_pixels)
        tensor = await self._decoder.decode(decode, deadline)
        outputs = await self.infer({manifest.image.name: tensor[np.newaxis]}, deadline)
        scores = outputs[manifest.output.name][0]
        return rank(probabilities(scores, manifest.output.kind), manifest.labels, top_k)

    def stop_admitting(self) -> None:
        """Refuse every request from now on."""
        self._batcher.stop_admitting()

    async def close(self, grace_s: float) -> bool:
        """Drain and end; return whether everything admitted was answered."""
        drained = await self._batcher.close(grace_s)
        if not drained:
            self.model.terminate()
        self._threads.shutdown(wait=False)
        return drained

    async def _run(self, requests: Sequence[Tensors]) -> Sequence[Tensors]:
        began = self._loop.time()
        try:
            work = functools.partial(run_together, self.model, requests)
            return await self._loop.run_in_executor(self._threads, work)
        finally:
            rows = sum(map(_rows, requests)) if self.batches else 1
            self.metrics.run(rows, self._loop.time() - began)


def run_together(model: Model, requests: Sequence[Tensors]) -> Sequence[Tensors]:
    """Run requests as one batch and give each its own rows; blocks.

    Args:
        model: whose outputs have a row for each row of the inputs.
        requests: of equal shapes but for the rows; a single one is run as it is.

    Raises:
        InferenceFailed: the model failed, or did not answer a row for a row.
    """
    if len(requests) == 1:
        return [model.run(requests[0])]
    names = [spec.name for spec in model.signature.inputs]
    joined = {name: np.concatenate([tensors[name] for tensors in requests]) for name in names}
    bounds = np.cumsum([_rows(tensors) for tensors in requests])
    outputs = model.run(joined)
    if any(len(array) != bounds[-1] for array in outputs.values()):
        raise InferenceFailed("the model's outputs do not have a row for each row of its inputs")
    parts = {name: np.split(array, bounds[:-1]) for name, array in outputs.items()}
    return [{name: split[i] for name, split in parts.items()} for i in range(len(requests))]


def _rows(inputs: Tensors) -> int:
    counts = {array.shape[0] for array in inputs.values()}
    if len(counts) != 1:
        raise InvalidTensor(f"inputs have different numbers of rows: {sorted(counts)}")
    return int(counts.pop())
