"""POST /v2/models/{name}/infer with JSON tensors."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 3.0]}
    return {"inputs": [tensor | changes]}


async def test_tensors_in_are_tensors_out(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/models/doubler/infer", json=request())
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "doubler",
        "model_version": "12",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}],
    }
