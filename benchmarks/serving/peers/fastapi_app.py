"""FastAPI and ONNX Runtime as tutorials put them together.

Functions that compute are plain `def`s, which FastAPI runs in threads
(https://fastapi.tiangolo.com/async/), one worker a core
(https://fastapi.tiangolo.com/deployment/server-workers/).
"""

from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from benchmarks.serving.peers.network import PORT, WORKERS, Network, ranked

app = FastAPI()
network = Network()


class Features(BaseModel):
    """One input, flat."""

    input: list[float]


class Logits(BaseModel):
    """What the network answers."""

    logits: list[float]


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "live"}


@app.post("/predict")
def predict(features: Features) -> Logits:
    """Run the network on numbers."""
    batch = network.from_numbers(features.input)[None]
    return Logits(logits=network.run(batch)[0].tolist())


@app.post("/predict_bytes")
async def predict_bytes(request: Request) -> Response:
    """Run the network on raw float32 values."""
    batch = network.from_bytes(await request.body())[None]
    logits = await run_in_threadpool(network.run, batch)
    return Response(logits.tobytes(), media_type="application/octet-stream")


@app.post("/classify")
def classify(
    image: Annotated[bytes, Body(media_type="image/jpeg")],
) -> dict[str, list[dict[str, float]]]:
    """Rank the classes of a picture."""
    return {"predictions": ranked(network.run(network.from_image(image)[None])[0])}


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.serving.peers.fastapi_app:app",
        host="127.0.0.1",
        port=PORT,
        workers=WORKERS,
        log_level="warning",
    )
