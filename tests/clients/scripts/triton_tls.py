"""tritonclient over TLS, http and grpc, each with its own way to name who signs certificates."""

from typing import Any

import tritonclient.grpc
import tritonclient.http

from tests.clients.documents import Document, arguments
from tests.clients.scripts import conversation


def main() -> None:
    addresses, cases = arguments()
    http, grpc, authority = addresses.split(",")
    options = {"ca_certs": authority}
    with (
        tritonclient.http.InferenceServerClient(http, ssl=True, ssl_options=options) as over_http,
        tritonclient.grpc.InferenceServerClient(
            grpc, ssl=True, root_certificates=authority
        ) as over_grpc,
    ):
        conversation.say(
            {
                "http": answered(tritonclient.http, over_http, cases),
                "grpc": answered(tritonclient.grpc, over_grpc, cases),
            }
        )


def answered(module: Any, client: Any, cases: list[Document]) -> Document:
    found = {}
    for case in cases:
        given = conversation.case_inputs(module, case)
        result = client.infer(case["model"], given, request_id=case["id"])
        found[case["id"]] = conversation.head(result) | {
            "outputs": conversation.outputs(result, case["outputs"])
        }
    return found


if __name__ == "__main__":
    main()
