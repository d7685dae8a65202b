"""How API keys stand in the OpenAPI document, where they are needed."""

from typing import Any

from fastapi import FastAPI

from service.access.scopes import scope_of_path
from service.api.documentation import error_responses
from service.errors import Forbidden, RateLimited, Unauthorized

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key.",
    },
}
_EITHER: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]
_ERRORS = (Unauthorized, Forbidden, RateLimited)


def describe_keys(app: FastAPI) -> None:
    """State the keys in the document of an app that asks for them."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        if "security" not in document:  # FastAPI keeps the document it made
            _describe(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as documentation.py does


def _describe(document: dict[str, Any]) -> None:
    document["security"] = _EITHER
    document["components"]["securitySchemes"] = _SCHEMES
    for path, item in document["paths"].items():
        scope = scope_of_path(path)
        for operation in item.values():
            if scope is None:
                operation["security"] = []
                continue
            words = f"It needs a key of the scope `{scope}`."
            operation["description"] = f"{operation.get('description', '')}\n\n{words}".strip()
            _add_responses(operation["responses"], path)


def _add_responses(known: dict[str, Any], path: str) -> None:
    for status, response in error_responses(path, _ERRORS).items():
        if str(status) in known:
            described = f"{known[str(status)]['description']}; {response['description']}"
            headers = known[str(status)].get("headers", {}) | response["headers"]
            response = response | {"description": described, "headers": headers}  # noqa: PLW2901
        known[str(status)] = response
