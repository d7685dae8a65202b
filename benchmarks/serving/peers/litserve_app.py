"""LitServe: HTTP processes and inference processes with queues between them.

`workers_per_device` is the number of cores on a CPU, `fast_queue` is for more than 100 requests a
second (both: the docstring of `LitServer`); batches: https://lightning.ai/docs/litserve/features/batching;
files: https://lightning.ai/docs/litserve/features/request-response-format. `timeout` is how long a
request may wait in the queue, `restart_workers` starts a worker anew that has died (the docstring,
too).
"""

from typing import Any

import litserve
import numpy as np
from fastapi import Request

from benchmarks.serving.peers.network import BATCH, PORT, TIMEOUT_S, WORKERS, Array, Network, ranked

BATCH_TIMEOUT_S = 0.001
USUAL_TIMEOUT_S = 30.0  # its own


class Inference(litserve.LitAPI):
    """Numbers as JSON; raw float32 values and pictures as files of a form."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - the interface's
        """Open the model, once in a process."""
        self.network = Network()

    def decode_request(self, request: Request) -> tuple[str, Array]:
        """What a request holds."""
        if "input" in request:
            return "json", self.network.from_numbers(request["input"])
        if "tensor" in request:
            return "binary", self.network.from_bytes(request["tensor"].file.read())
        return "jpeg", self.network.from_image(request["image"].file.read())

    def batch(self, inputs: list[tuple[str, Array]]) -> tuple[list[str], Array]:
        """Rows of one run."""
        return [kind for kind, _ in inputs], np.stack([values for _, values in inputs])

    def predict(self, batch: tuple[list[str], Array]) -> list[tuple[str, Array]]:
        """Run the network."""
        kinds, inputs = batch
        return list(zip(kinds, self.network.run(inputs), strict=True))

    def unbatch(self, output: list[tuple[str, Array]]) -> list[tuple[str, Array]]:
        """One answer a request."""
        return output

    def encode_response(self, output: tuple[str, Array]) -> dict[str, Any]:
        """Its JSON."""
        kind, logits = output
        if kind == "jpeg":
            return {"predictions": ranked(logits)}
        return {"logits": logits.tolist()}


if __name__ == "__main__":
    api = Inference(max_batch_size=BATCH, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=WORKERS,
        timeout=TIMEOUT_S or USUAL_TIMEOUT_S,
        fast_queue=True,
        restart_workers=True,
    )
    server.run(host="127.0.0.1", port=PORT, log_level="warning", generate_client_file=False)
