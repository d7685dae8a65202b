"""mosec: a Rust front that batches, two Python workers.

Dynamic batching: https://mosecorg.github.io/mosec/reference/concept.html; JSON as it reads and
writes it by default, other bytes by an own `deserialize`, as
https://mosecorg.github.io/mosec/reference/interface.html has it. With `SERVED_ORJSON` its JSON is
read and written by orjson, which mosec leaves to its users.
"""

import os
from typing import Any

import orjson
from mosec import Server, Worker
from mosec.errors import DecodingError

from benchmarks.serving.peers.network import BATCH, WORKERS, Array, Network, ranked

WAIT_MS = 1  # the least that batches here: below it, mosec takes its own default of 10 ms
JPEG = b"\xff\xd8"
ORJSON = "SERVED_ORJSON" in os.environ


class Inference(Worker):
    """One process with one session; a request's kind is told by its body."""

    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    def deserialize(self, data: bytes) -> tuple[str, Array]:
        """Raw float32 values, a picture, or JSON."""
        network = self.network
        if len(data) == network.byte_count:
            return "binary", network.from_bytes(data)
        if data.startswith(JPEG):
            return "jpeg", network.from_image(data)
        try:
            content = orjson.loads(data) if ORJSON else super().deserialize(data)
            return "json", network.from_numbers(content["input"])
        except (KeyError, ValueError) as error:
            raise DecodingError from error

    def forward(self, data: list[tuple[str, Array]]) -> list[tuple[str, Array]]:
        """One run for all that waits."""
        logits = self.network.run_each([values for _, values in data])
        return [(kind, row) for (kind, _), row in zip(data, logits, strict=True)]

    def serialize(self, data: tuple[str, Any]) -> bytes:
        """An answer of the request's kind."""
        kind, logits = data
        if kind == "binary":
            return bytes(logits.tobytes())
        if ORJSON and kind == "json":
            return orjson.dumps({"logits": logits}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = {"predictions": ranked(logits)} if kind == "jpeg" else {"logits": logits.tolist()}
        return bytes(super().serialize(answer))


if __name__ == "__main__":
    server = Server()
    server.append_worker(Inference, num=WORKERS, max_batch_size=BATCH, max_wait_time=WAIT_MS)
    server.run()
