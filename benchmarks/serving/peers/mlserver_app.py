"""MLServer: a custom runtime, two inference processes, adaptive batching.

https://docs.seldon.ai/mlserver/user-guide/custom,
https://docs.seldon.ai/mlserver/user-guide/parallel-inference and
https://docs.seldon.ai/mlserver/user-guide/adaptive-batching. This program writes the two files of
settings that `mlserver start` reads, in a folder of its own, and becomes that command.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.peers.network import BATCH, PORT, WORKERS, Network

BATCH_TIME_S = 0.001


class Inference(MLModel):
    """The network behind the Open Inference Protocol."""

    async def load(self) -> bool:
        """Open the model."""
        self.network = Network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the network on a tensor or on pictures in base64."""
        (given,) = payload.inputs
        if given.datatype == "BYTES":
            pictures = Base64Codec.decode_input(given)
            batch = np.stack([self.network.from_image(picture) for picture in pictures])
        else:
            batch = NumpyCodec.decode_input(given)
        logits = self.network.run(batch)
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[NumpyCodec.encode_output("logits", logits)],
        )


def write_settings(folder: Path) -> None:
    """What `mlserver start` reads."""
    settings = {
        "host": "127.0.0.1",
        "http_port": PORT,
        "grpc_port": PORT + 1,
        "metrics_port": PORT + 2,
        "metrics_endpoint": None,
        "parallel_workers": WORKERS,
        "debug": False,
    }
    model = {
        "name": "served",
        "implementation": f"{Inference.__module__}.{Inference.__name__}",
        "max_batch_size": BATCH,
        "max_batch_time": BATCH_TIME_S,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    # Under the name that MLServer imports.
    from benchmarks.serving.peers import mlserver_app  # noqa: PLW0406

    place = Path(tempfile.mkdtemp())
    mlserver_app.write_settings(place)
    command = str(Path(sys.executable).with_name("mlserver"))
    os.execv(command, [command, "start", str(place)])  # noqa: S606 - no shell
