"""KServe's SDK: a custom model, two workers; tensors by the Open Inference Protocol.

Pictures come as base64 in the first protocol, as in KServe's own example: the tensors of the second
are text there. Nothing is logged of a request (`kserve_logging.json`).

https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/custom-predictor/custom-predictor
and, for the parameters, https://kserve.github.io/website/docs/reference/python-runtime-sdk/python-runtime-sdk-api.
"""

import base64
import uuid
from typing import Any

import kserve
from kserve.protocol.infer_type import InferOutput, InferRequest, InferResponse

from benchmarks.serving.peers.network import PORT, WORKERS, Network, ranked


class Inference(kserve.Model):
    """The network under the name `served`."""

    def __init__(self) -> None:
        super().__init__("served")
        self.load()

    def load(self) -> bool:
        """Open the model."""
        self.network = Network()
        self.ready = True
        return True

    # A coroutine: it runs on the loop's thread, and no other has to be woken.
    async def predict(
        self,
        payload: InferRequest | dict[str, Any],
        headers: dict[str, str] | None = None,  # noqa: ARG002 - the interface's
    ) -> InferResponse | dict[str, Any]:
        """Run the network on a tensor or on a picture."""
        if isinstance(payload, dict):
            return self._classify(payload["instances"][0]["image"]["b64"])
        logits = self.network.run(payload.inputs[0].as_numpy())
        output = InferOutput("logits", list(logits.shape), "FP32", data=logits)
        answer_id = payload.id or str(uuid.uuid4())
        binary = bool(payload.use_binary_outputs)
        return InferResponse(answer_id, self.name, [output], use_binary_outputs=binary)

    def _classify(self, picture: str) -> dict[str, Any]:
        values = self.network.from_image(base64.b64decode(picture))
        return {"predictions": ranked(self.network.run(values[None])[0])}


if __name__ == "__main__":
    kserve.ModelServer(
        http_port=PORT,
        workers=WORKERS,
        enable_grpc=False,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([Inference()])
