"""BentoML: one service, two workers.

https://docs.bentoml.com/en/latest/build-with-bentoml/parallelize-requests.html; inputs and outputs:
https://docs.bentoml.com/en/latest/build-with-bentoml/iotypes.html. The endpoints are coroutines,
which answered more requests here than functions in threads and than adaptive batching
(https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html) do; one more endpoint has
that, for what batches are about. Deadline and bound:
https://docs.bentoml.com/en/latest/reference/bentoml/configurations.html. This program becomes
`bentoml serve`.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType
from PIL.Image import Image

from benchmarks.serving.peers.network import (
    BATCH,
    PORT,
    REQUESTS,
    TIMEOUT_S,
    WORKERS,
    Network,
    ranked,
)

NAME = "benchmarks.serving.peers.bentoml_app:Inference"
QUIET = {"access": {"enabled": False}}
TRAFFIC: dict[str, Any] = {
    name: value
    for name, value in (("timeout", TIMEOUT_S), ("max_concurrency", REQUESTS))
    if value is not None
}
USUAL_TIMEOUT_S = 60.0  # its own
MS = 1000


@bentoml.service(workers=WORKERS, traffic=TRAFFIC, metrics={"enabled": False}, logging=QUIET)
class Inference:
    """The network, with one endpoint a format."""

    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api
    async def predict(self, input: list[float]) -> dict[str, list[float]]:
        """Run the network on numbers."""
        return {"logits": self.network.run(self.network.from_numbers(input)[None])[0].tolist()}

    @bentoml.api(
        batchable=True,
        max_batch_size=BATCH,
        max_latency_ms=round((TIMEOUT_S or USUAL_TIMEOUT_S) * MS),
    )
    def predict_together(self, inputs: list[list[float]]) -> list[list[float]]:
        """Run the network on rows of several requests."""
        rows = [self.network.from_numbers(numbers) for numbers in inputs]
        return [logits.tolist() for logits in self.network.run_each(rows)]

    @bentoml.api
    async def predict_bytes(
        self, data: bytes, /
    ) -> Annotated[bytes, ContentType("application/octet-stream")]:
        """Run the network on raw float32 values."""
        return self.network.run(self.network.from_bytes(data)[None]).tobytes()

    @bentoml.api
    async def classify(self, image: Image, /) -> dict[str, list[dict[str, float]]]:
        """Rank the classes of a picture."""
        return {"predictions": ranked(self.network.run(self.network.from_picture(image)[None])[0])}


if __name__ == "__main__":
    command = str(Path(sys.executable).with_name("bentoml"))
    where = ["--host", "127.0.0.1", "--port", str(PORT)]
    os.execv(command, [command, "serve", NAME, *where])  # noqa: S606 - no shell
