"""`python -m benchmarks.batching`: runs in place against runs in a thread.

Clients in one event loop ask a batcher again and again, each after a piece of work that stands
for the HTTP of a request. All is on one processor, which is what each of several workers has:
a thread has no time but the loop's, and costs its hops, Python's lock and the caches.
What is measured is processor time, which what else the machine does leaves nearly alone.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import onnx
import typer
import uvloop
from onnx import TensorProto, helper, numpy_helper

from benchmarks.rounds import measured, ratio
from service.batching.admission import Limits
from service.batching.batcher import Batcher
from service.inference.assembly import run_together
from service.inference.model import Model, RunOptions, open_model
from service.inference.sample_inputs import random_rows
from service.inference.warm_up import warm_up

ROADS = {"in place": True, "runners": False}
CLIENTS = (1, 8, 64)
MAX_BATCH_SIZE = 32
BUNDLED = Path("models/digits/1/model.onnx")


class Stack(NamedTuple):
    """A square picture and 3x3 convolutions behind each other."""

    size: int
    channels: int
    layers: int


# From the shortest run to one like that of ResNet-18 on 3x224x224, in steps of about 3.
STACKS = (
    Stack(8, 8, 2),
    Stack(14, 16, 3),
    Stack(28, 16, 4),
    Stack(28, 32, 5),
    Stack(28, 64, 6),
    Stack(56, 64, 8),
    Stack(112, 64, 8),
)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each; medians are printed.")] = 9,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of one turn, about.")] = 0.2,
    work_us: Annotated[float, typer.Option(min=0, help="Of the loop for each request.")] = 50,
    processors: Annotated[int, typer.Option(min=1, help="That may be used.")] = 1,
    runners: Annotated[int, typer.Option(min=1, help="Threads that run.")] = 1,
) -> None:
    """Print what a request takes on both roads, at 1, 8 and 64 requests at once."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:processors]))
    typer.echo(
        f"{work_us:g} us of other work a request, {processors} processors, {runners} runners"
    )
    typer.echo(
        f"{'model':22}{'row':>9}{'batch':>9}{'clients':>9}{'in place':>10}{'runners':>10}  ratio"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models(Path(folder)).items():
            told = warm_up(model, MAX_BATCH_SIZE)
            times = f"{name:22}{_ms(told.row_s)}{_ms(told.batch_s)}"
            for clients in CLIENTS:
                count = max(clients, round(seconds / (work_us * 1e-6 + (told.row_s or 0))))
                works = roads(model, clients, count, work_us * 1e-6, runners)
                typer.echo(times + f"{clients:9}" + compared(works, rounds))
                times = " " * len(times)


def compared(works: Mapping[str, Callable[[], float]], rounds: int) -> str:
    """Return the microseconds of each road, and how much longer the thread takes."""
    taken = measured(works, rounds)
    medians = "".join(f"{statistics.median(taken[road]):10.1f}" for road in ROADS)
    return medians + f"{ratio(taken['runners'], taken['in place']):7.2f}"


def roads(
    model: Model, clients: int, count: int, work_s: float, runners: int
) -> Mapping[str, Callable[[], float]]:
    """Return what measures the microseconds of a request, by road."""
    limits = Limits(MAX_BATCH_SIZE, max_queue_size=1024, runners=runners)
    return {
        road: partial(measure, model, limits, clients, count // clients, work_s, in_place)
        for road, in_place in ROADS.items()
    }


def measure(
    model: Model, limits: Limits, clients: int, count: int, work_s: float, in_place: bool
) -> float:
    """Return the microseconds of a request, in an event loop of its own."""
    return uvloop.run(microseconds(model, limits, clients, count, work_s, in_place=in_place))


async def microseconds(
    model: Model, limits: Limits, clients: int, count: int, work_s: float, *, in_place: bool
) -> float:
    """Let every client ask so many times, and return what one request took of the time."""
    batcher = Batcher(partial(run_together, model), limits, in_place=in_place)
    inputs = random_rows(model, 1)

    async def client(requests: int) -> None:
        for _ in range(requests):
            work(work_s)
            await batcher.submit(inputs)

    await asyncio.gather(*(client(2) for _ in range(clients)))
    began = time.process_time()
    await asyncio.gather(*(client(count) for _ in range(clients)))
    took = time.process_time() - began
    await batcher.close(grace_s=1)
    return took / (clients * count) * 1e6


def work(seconds: float) -> None:
    """Hold Python's lock, as reading a request and writing an answer do."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def models(folder: Path) -> dict[str, Model]:
    """Return the bundled model and the stacks, from the fastest to the slowest."""
    options = RunOptions("cpu", intra_op_threads=1)
    found: dict[str, Model] = {"bundled digits": open_model(BUNDLED, options)}
    for stack in STACKS:
        path = folder / "model.onnx"
        onnx.save(convolutions(stack), path)
        name = f"{stack.layers} x {stack.channels} at {stack.size}x{stack.size}"
        found[name] = open_model(path, options)
    return found


def convolutions(stack: Stack) -> onnx.ModelProto:
    """Return a graph of random weights: (batch, 1, size, size) to (batch, channels)."""
    rng = np.random.default_rng(0)
    nodes, weights, channels = [], [], 1
    for i in range(stack.layers):
        shape = (stack.channels, channels, 3, 3)
        scale = (2 / (9 * channels)) ** 0.5  # keeps the size of the values from layer to layer
        kernel = rng.normal(0, scale, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
        channels = stack.channels
    nodes.append(helper.make_node("GlobalAveragePool", [f"x{stack.layers}"], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["y"]))
    shape_in = ("batch", 1, stack.size, stack.size)
    graph = helper.make_graph(
        nodes,
        "stack",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", channels))],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def _ms(seconds: float | None) -> str:
    return f"{'':9}" if seconds is None else f"{seconds * 1e3:9.3f}"


if __name__ == "__main__":
    typer.run(main)
