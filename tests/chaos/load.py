"""Clients for the tests of what the service promises: they count every request, lost ones too.

The clients are those that also meet other servers; here is what they send, and what they leave.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.clients import (
    HOST,
    PATIENCE_S,
    Client,
    Found,
    closed_loop,
    ends_connection,
    get_request,
    open_loop,
    read_answer,
)

__all__ = [
    "HOST",
    "LONG",
    "PATIENCE_S",
    "Client",
    "Found",
    "closed_loop",
    "descriptors",
    "ends_connection",
    "get_request",
    "infer_request",
    "open_loop",
    "read_answer",
    "resident_bytes",
]

LONG = os.environ.get("CHAOS") == "long"
"""Whether the long form runs (``make chaos``); without it a test takes seconds."""


def infer_request(
    model: str,
    row_shape: Sequence[int],
    rows: int = 1,
    *,
    binary: bool = False,
    headers: Sequence[str] = (),
    input_name: str = "x",
) -> bytes:
    """Return a whole request of the Open Inference Protocol for an FP32 input of ones.

    Args:
        model: its name, with ``/versions/N`` behind it if one is meant.
        row_shape: of one row, without the batch axis.
        rows: of the request.
        binary: whether the numbers go as bytes behind the JSON, and come back so.
        headers: more lines for the head.
        input_name: of the model's input.
    """
    shape = [rows, *row_shape]
    tensor: dict[str, object] = {"name": input_name, "shape": shape, "datatype": "FP32"}
    document: dict[str, object] = {"inputs": [tensor]}
    numbers = np.ones(shape, np.float32)
    lines = [f"POST /v2/models/{model}/infer HTTP/1.1", "Host: localhost", *headers]
    if not binary:
        tensor["data"] = numbers.ravel().tolist()
        body = json.dumps(document).encode()
        lines.append("Content-Type: application/json")
    else:
        tensor["parameters"] = {"binary_data_size": numbers.nbytes}
        document["parameters"] = {"binary_data_output": True}
        written = json.dumps(document).encode()
        body = written + numbers.tobytes()
        lines += [
            "Content-Type: application/octet-stream",
            f"Inference-Header-Content-Length: {len(written)}",
        ]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM (``VmRSS``, proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def descriptors(pid: int) -> int:
    """Return how many files and sockets a process holds open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
