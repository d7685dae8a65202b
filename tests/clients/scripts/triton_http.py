"""tritonclient.http, unchanged and blocking, asks everything that the service answers."""

from typing import Any

import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.clients.documents import Document, arguments
from tests.clients.scripts import conversation


def main() -> None:
    address, cases = arguments()
    with triton.InferenceServerClient(address) as client:
        conversation.say(
            {
                "live": client.is_server_live(),
                "ready": client.is_server_ready(),
                "server": client.get_server_metadata(),
                "models": {case["model"]: described(client, case["model"]) for case in cases},
                "cases": {case["id"]: forms(client, case) for case in cases},
                "several": conversation.several(triton, client),
                "requests": {
                    name: conversation.attempt(ask, InferenceServerException)
                    for name, ask in conversation.requests(triton, client).items()
                },
                "asynchronous": asynchronous(address, cases),
            }
        )


def described(client: Any, model: str) -> Document:
    return {"ready": client.is_model_ready(model), "metadata": client.get_model_metadata(model)}


def forms(client: Any, case: Document) -> Document:
    """The same request in every form that the client has."""
    packed: Any = {
        "request_compression_algorithm": "deflate",
        "response_compression_algorithm": "gzip",
    }
    found = {
        "binary": answered(client, case),
        "gzip": answered(client, case, request_compression_algorithm="gzip"),
        "deflate and gzip": answered(client, case, **packed),
    }
    if case["as_json"]:
        found |= {
            "json": answered(client, case, into=False, out=False),
            "json to binary": answered(client, case, into=False),
            "binary to json": answered(client, case, out=False),
            "json in gzip": answered(client, case, into=False, out=False, **packed),
        }
    return found


def answered(
    client: Any, case: Document, *, into: bool = True, out: bool = True, **options: Any
) -> Document:
    result = client.infer(
        case["model"],
        conversation.case_inputs(triton, case, binary_data=into),
        outputs=[triton.InferRequestedOutput(name, binary_data=out) for name in case["outputs"]],
        request_id=case["id"],
        **options,
    )
    return conversation.head(result) | {"outputs": conversation.outputs(result, case["outputs"])}


def asynchronous(address: str, cases: list[Document]) -> list[Document]:
    """Many requests at once, which the service may answer in one run."""
    (case,) = [case for case in cases if case["id"] == "two_in_two_out"]
    with triton.InferenceServerClient(address, concurrency=4) as client:
        given = conversation.case_inputs(triton, case)
        calls = [client.async_infer(case["model"], given) for _ in range(20)]
        return [conversation.outputs(call.get_result(), case["outputs"]) for call in calls]


if __name__ == "__main__":
    main()
