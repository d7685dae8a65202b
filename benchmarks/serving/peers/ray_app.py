"""Ray Serve: two replicas of one CPU each, dynamic batching.

https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html and, for throughput,
https://docs.ray.io/en/latest/serve/advanced-guides/performance.html; the settings that it names are
environment variables (`servers.py`). Deadline and bound:
https://docs.ray.io/en/latest/serve/configure-serve-deployment.html and
https://docs.ray.io/en/latest/serve/http-guide.html.
"""

import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from benchmarks.serving.peers.network import (
    BATCH,
    PORT,
    REQUESTS,
    TIMEOUT_S,
    WORKERS,
    Array,
    Network,
    ranked,
)

BATCH_WAIT_S = 0.001
# At once in a replica: more than there are clients, or all that may be in the server.
MOST_REQUESTS = REQUESTS // WORKERS if REQUESTS else 128
FEW = 4  # that wait outside of the replicas, where all of them are bounded
HTTP = {"host": "127.0.0.1", "port": PORT, "request_timeout_s": TIMEOUT_S}


@serve.deployment(
    logging_config={"enable_access_log": False},
    num_replicas=WORKERS,
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=MOST_REQUESTS,
    max_queued_requests=FEW if REQUESTS else -1,
)
class Inference:
    """One replica with one session; a request's kind is its content type."""

    def __init__(self) -> None:
        self.network = Network()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_WAIT_S)
    async def run(self, inputs: list[Array]) -> list[Array]:
        """One run for all that waits."""
        return self.network.run_each(inputs)

    async def __call__(self, request: Request) -> Response:
        """Answer in the request's kind."""
        kind = request.headers["content-type"]
        if kind == "application/octet-stream":
            logits = await self.run(self.network.from_bytes(await request.body()))
            return Response(logits.tobytes(), media_type=kind)
        if kind == "image/jpeg":
            logits = await self.run(self.network.from_image(await request.body()))
            return JSONResponse({"predictions": ranked(logits)})
        logits = await self.run(self.network.from_numbers((await request.json())["input"]))
        return JSONResponse({"logits": logits.tolist()})


if __name__ == "__main__":
    # One CPU for each replica, and a little for the proxy and the controller, which take none.
    ray.init(num_cpus=WORKERS, include_dashboard=False, configure_logging=False)
    serve.start(http_options=HTTP)
    serve.run(Inference.bind())  # type: ignore[attr-defined]  # of the decorator
    threading.Event().wait()
