"""What both of Triton's blocking clients are asked to do; their calls have the same names."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.clients.documents import Document, array_of, datatype, tensor

# The client's module, tritonclient.grpc or tritonclient.http, which have no types.
Module = Any
Client = Any


def inputs(module: Module, arrays: dict[str, NDArray[Any]], **options: Any) -> list[Any]:
    """Arrays as a client takes them; the options are those of ``set_data_from_numpy``."""
    found = []
    for name, array in arrays.items():
        put = module.InferInput(name, list(array.shape), datatype(array))
        put.set_data_from_numpy(array, **options)
        found.append(put)
    return found


def case_inputs(module: Module, case: Document, **options: Any) -> list[Any]:
    arrays = {name: array_of(each) for name, each in case["inputs"].items()}
    return inputs(module, arrays, **options)


def outputs(result: Any, names: list[str]) -> Document:
    return {name: tensor(result.as_numpy(name)) for name in names}


def attempt(ask: Callable[[], Any], kind: type[Exception]) -> Document:
    """What came of a call: its value, or the client's own error."""
    try:
        return {"value": ask()}
    except kind as error:
        told: Any = error  # of the client's class, which has these methods
        return {"error": told.message(), "status": str(told.status())}


def requests(module: Module, client: Client) -> dict[str, Callable[[], Any]]:
    """Requests that are answered or refused alike, whatever carries them."""
    x = inputs(module, {"x": np.array([[1, 2, 3]], np.float32)})
    flat = inputs(module, {"x": np.array([1, 2, 3], np.float32)})
    wide = inputs(module, {"x": np.zeros((1, 4), np.float32)})
    many = inputs(module, {"x": np.zeros((33, 3), np.float32)})
    other = inputs(module, {"z": np.zeros((1, 3), np.float32)})
    typed = inputs(module, {"x": np.zeros((1, 3), np.float64)})
    one = inputs(module, {"x": np.zeros(1, np.float32)})
    texts = inputs(module, {"input": np.array([b"no image"], np.object_)})
    wanted = [module.InferRequestedOutput("nothing")]

    def infer(model: str, given: Any, **options: Any) -> Callable[[], Any]:
        return lambda: sorted(client.infer(model, given, **options).as_numpy("y").tolist())

    return {
        "fine": infer("open_batch", x),
        "first version": infer("versions", x, model_version="1"),
        "last version": infer("versions", x, model_version="2"),
        "priority": infer("open_batch", x, priority=3),
        "in time": infer("open_batch", x, timeout=20_000_000),
        "too late": infer("slow", one, timeout=1000),
        "wrong rank": infer("open_batch", flat),
        "wrong size": infer("open_batch", wide),
        "wrong name": infer("open_batch", other),
        "wrong datatype": infer("open_batch", typed),
        "too many rows": infer("open_batch", many),
        "no image": infer("brightness", texts),
        "unknown output": infer("open_batch", x, outputs=wanted),
        "unknown model": infer("nothing", x),
        "unknown version": infer("versions", x, model_version="9"),
        "sequence": infer("open_batch", x, sequence_id=7, sequence_start=True),
        "no metadata": lambda: client.get_model_metadata("nothing"),
    }


def several(module: Module, client: Client) -> Document:
    """Outputs by name and in order, classes, and what an answer says of its request."""
    two = {"a": np.array([[1, 2]], np.float32), "b": np.array([[3, 5]], np.float32)}
    both = [module.InferRequestedOutput(name) for name in ("difference", "sum")]
    one = client.infer("two_in_two_out", inputs(module, two), outputs=both[:1])
    two_in_order = client.infer("two_in_two_out", inputs(module, two), outputs=both)
    named = client.infer("two_in_two_out", inputs(module, two), request_id="seven")
    ranked = module.InferRequestedOutput("logits", class_count=2)
    pixels = {"input": np.stack([np.zeros((1, 4, 4)), np.full((1, 4, 4), 255)]).astype("f4")}
    classes = client.infer("brightness", inputs(module, pixels), outputs=[ranked])
    return {
        "one": outputs(one, ["difference"]) | {"missing": one.as_numpy("sum") is None},
        "order": names(two_in_order),
        "two": outputs(two_in_order, ["sum", "difference"]),
        "id": head(named),
        "classes": tensor(classes.as_numpy("logits")),
    }


def names(result: Any) -> list[str]:
    response = result.get_response()
    listed = response["outputs"] if isinstance(response, dict) else response.outputs
    return [each["name"] if isinstance(each, dict) else each.name for each in listed]


def head(result: Any) -> Document:
    response = result.get_response()
    known = ("model_name", "model_version", "id")
    if isinstance(response, dict):
        return {name: response[name] for name in known}
    return {name: getattr(response, name) for name in known}


def say(document: Document) -> None:
    print(json.dumps(document))  # noqa: T201 -- what the test reads
