"""tritonclient.http.aio, unchanged, asks what its blocking sister does."""

import asyncio
from typing import Any

import tritonclient.http.aio as triton
from tritonclient.utils import InferenceServerException

from tests.clients.documents import Document, arguments
from tests.clients.scripts import conversation


async def main() -> None:
    address, cases = arguments()
    async with triton.InferenceServerClient(address) as client:
        conversation.say(
            {
                "live": await client.is_server_live(),
                "ready": await client.is_server_ready(),
                "server": await client.get_server_metadata(),
                "models": {case["model"]: await described(client, case) for case in cases},
                "cases": {case["id"]: await forms(client, case) for case in cases},
                "refused": await refused(client),
                "at once": await at_once(client, cases),
            }
        )


async def described(client: Any, case: Document) -> Document:
    return {
        "ready": await client.is_model_ready(case["model"]),
        "metadata": await client.get_model_metadata(case["model"]),
    }


async def forms(client: Any, case: Document) -> Document:
    packed: Any = {
        "request_compression_algorithm": "gzip",
        "response_compression_algorithm": "deflate",
    }
    found = {
        "binary": await answered(client, case),
        "gzip and deflate": await answered(client, case, **packed),
    }
    if case["as_json"]:
        found |= {
            "json": await answered(client, case, into=False, out=False),
            "binary to json": await answered(client, case, out=False, **packed),
        }
    return found


async def answered(
    client: Any, case: Document, *, into: bool = True, out: bool = True, **options: Any
) -> Document:
    result = await client.infer(
        case["model"],
        conversation.case_inputs(triton, case, binary_data=into),
        outputs=[triton.InferRequestedOutput(name, binary_data=out) for name in case["outputs"]],
        request_id=case["id"],
        **options,
    )
    return conversation.head(result) | {"outputs": conversation.outputs(result, case["outputs"])}


async def refused(client: Any) -> Document:
    try:
        await client.get_model_metadata("nothing")
    except InferenceServerException as error:
        return {"error": error.message(), "status": error.status()}
    return {}


async def at_once(client: Any, cases: list[Document]) -> list[Document]:
    """Many requests at once, which the service may answer in one run."""
    (case,) = [case for case in cases if case["id"] == "two_in_two_out"]
    given = conversation.case_inputs(triton, case)
    calls = [client.infer(case["model"], given) for _ in range(20)]
    return [
        conversation.outputs(result, case["outputs"]) for result in await asyncio.gather(*calls)
    ]


if __name__ == "__main__":
    asyncio.run(main())
