"""tritonclient.grpc, unchanged, asks everything that the service's gRPC half answers."""

from queue import SimpleQueue
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.clients.documents import Document, arguments
from tests.clients.scripts import conversation

_AT_ONCE = 20
_PATIENCE_S = 60


def main() -> None:
    addresses, cases = arguments()
    address, control = addresses.split(",")  # of the same server
    with (
        triton.InferenceServerClient(address) as client,
        triton.InferenceServerClient(control) as commander,
    ):
        conversation.say(
            {
                "live": client.is_server_live(),
                "ready": client.is_server_ready(),
                "server": client.get_server_metadata(as_json=True),
                "models": {case["model"]: described(client, case["model"]) for case in cases},
                "cases": {case["id"]: answered(client, case) for case in cases},
                "several": conversation.several(triton, client),
                "requests": {
                    name: conversation.attempt(ask, InferenceServerException)
                    for name, ask in conversation.requests(triton, client).items()
                },
                "impatient": impatient(client, cases),
                "compressed": compressed(client, cases),
                "asynchronous": asynchronous(client, cases),
                "management": managed(commander, "open_batch"),
            }
        )


def described(client: Any, model: str) -> Document:
    return {
        "ready": client.is_model_ready(model),
        "metadata": client.get_model_metadata(model, as_json=True),
    }


def answered(client: Any, case: Document, **options: Any) -> Document:
    given = conversation.case_inputs(triton, case)
    result = client.infer(case["model"], given, request_id=case["id"], **options)
    return conversation.head(result) | {"outputs": conversation.outputs(result, case["outputs"])}


def impatient(client: Any, cases: list[Document]) -> Document:
    """The deadline of gRPC itself."""
    (slow,) = [case for case in cases if case["id"] == "slow"]
    return conversation.attempt(
        lambda: answered(client, slow, client_timeout=0.01), InferenceServerException
    )


def compressed(client: Any, cases: list[Document]) -> Document:
    (case,) = [case for case in cases if case["id"] == "fixed_batch"]
    return {
        algorithm: answered(client, case, compression_algorithm=algorithm)
        for algorithm in ("gzip", "deflate")
    }


def asynchronous(client: Any, cases: list[Document]) -> list[Document]:
    """Many calls at once, which the service may answer in one run."""
    (case,) = [case for case in cases if case["id"] == "two_in_two_out"]
    given = conversation.case_inputs(triton, case)
    results: SimpleQueue[Any] = SimpleQueue()
    for _ in range(_AT_ONCE):
        client.async_infer(case["model"], given, lambda result, error: results.put((result, error)))
    found = [results.get(timeout=_PATIENCE_S) for _ in range(_AT_ONCE)]
    return [
        {"error": str(error)} if error else conversation.outputs(result, case["outputs"])
        for result, error in found
    ]


def managed(client: Any, model: str) -> Document:
    """What those who look after models ask."""
    given = conversation.inputs(triton, {"x": np.ones((3, 3), np.float32)})
    before = counted(client, model)
    client.infer(model, given)
    after = counted(client, model)
    client.unload_model(model)
    gone = client.is_model_ready(model)
    refused = conversation.attempt(lambda: client.infer(model, given), InferenceServerException)
    index = client.get_model_repository_index(as_json=True)
    client.load_model(model)
    return {
        "config": client.get_model_config(model, as_json=True),
        "counted": after - before,
        "gone": gone,
        "refused": refused,
        "index": index,
        "back": client.is_model_ready(model),
    }


def counted(client: Any, model: str) -> int:
    (found,) = client.get_inference_statistics(model, as_json=True)["model_stats"]
    return int(found.get("inference_count", 0))


if __name__ == "__main__":
    main()
