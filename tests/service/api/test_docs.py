"""The page, the OpenAPI document, and what they promise."""

import base64
import hashlib
import json
import re
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from service.api import schemas, triton_schemas, v1_schemas
from service.app import create_app
from service.settings import Settings
from tests.service.pictures import grey

pytestmark = pytest.mark.anyio

ENDPOINTS = {
    "POST /models/{name}/predict",
    "POST /models/{name}/versions/{version}/predict",
    "GET /models",
    "GET /models/{name}",
    "GET /v2/models/stats",
    "GET /v2/models/{name}/config",
    "GET /v2/models/{name}/stats",
    "GET /v2/models/{name}/versions/{version}/config",
    "GET /v2/models/{name}/versions/{version}/stats",
    "POST /v2/repository/index",
    "POST /v2/repository/models/{name}/load",
    "POST /v2/repository/models/{name}/unload",
    "GET /v2",
    "GET /v2/models/{name}",
    "GET /v2/models/{name}/ready",
    "POST /v2/models/{name}/infer",
    "GET /v2/models/{name}/versions/{version}",
    "GET /v2/models/{name}/versions/{version}/ready",
    "POST /v2/models/{name}/versions/{version}/infer",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "POST /v1/models/{name}:predict",
    "GET /v1/models/{name}/versions/{version}",
    "POST /v1/models/{name}/versions/{version}:predict",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /metrics",
}


async def openapi(client: httpx.AsyncClient) -> Any:
    return (await client.get("/openapi.json")).json()


async def test_the_page_and_its_assets_come_from_the_server_itself(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/docs")).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 3
    for link in links:
        assert link.startswith("/docs/assets/")
        assert (await client.get(link)).status_code == 200


async def test_the_pages_policy_allows_its_own_script_by_hash_and_no_other(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/docs")
    policy = answer.headers["content-security-policy"]
    script = re.search(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    sources = re.search(r"script-src ([^;]+);", policy)
    assert sources is not None
    assert sources[1] == f"'self' 'sha256-{digest}'"


async def test_every_endpoint_stands_in_the_document(client: httpx.AsyncClient) -> None:
    paths = (await openapi(client))["paths"]
    found = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert found == ENDPOINTS


def test_the_routes_of_the_app_can_be_listed_without_starting_it() -> None:
    routes = [each for each in create_app(Settings()).routes if isinstance(each, APIRoute)]
    found = {
        f"{method} {route.path}"
        for route in routes
        if route.include_in_schema
        for method in route.methods or ()
    }
    assert found == ENDPOINTS


@pytest.mark.parametrize("path", ["/", "/docs", "/models", "/v2", "/v2/", "/v2/health/live"])
async def test_what_can_be_got_can_be_asked_for_its_head(
    client: httpx.AsyncClient, path: str
) -> None:
    head, get = await client.head(path), await client.get(path)
    assert head.status_code == get.status_code
    assert head.headers.get("content-length") == get.headers.get("content-length")
    refused = await client.delete(path)
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_every_reference_in_the_document_resolves(client: httpx.AsyncClient) -> None:
    document = await openapi(client)
    known = document["components"]["schemas"].keys()
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert used <= known
    assert "HTTPValidationError" not in known
    assert "$defs" not in json.dumps(document)


async def test_operations_have_names_of_their_own(client: httpx.AsyncClient) -> None:
    document = await openapi(client)
    names = [each["operationId"] for item in document["paths"].values() for each in item.values()]
    assert len(names) == len(set(names))


async def test_path_parameters_bodies_and_errors_are_described(client: httpx.AsyncClient) -> None:
    operation = (await openapi(client))["paths"]["/models/{name}/predict"]["post"]
    assert [each["name"] for each in operation["parameters"]] == ["name", "top_k"]
    assert {"image/png", "image/jpeg", "image/webp", "multipart/form-data"} <= (
        operation["requestBody"]["content"].keys()
    )
    assert operation["responses"]["413"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    assert "`body_too_large`" in operation["responses"]["413"]["description"]


async def test_the_example_of_a_request_is_one_that_is_answered(client: httpx.AsyncClient) -> None:
    documents = (await openapi(client))["components"]["schemas"]
    (example,) = documents["InferenceRequest"]["examples"]
    answer = await client.post("/v2/models/doubler/infer", json=example)
    assert answer.json()["outputs"][0]["data"] == [2, 5, 6]


async def test_the_form_of_a_request_is_described_as_it_is_checked(
    client: httpx.AsyncClient,
) -> None:
    documents = (await openapi(client))["components"]["schemas"]
    assert documents["RequestInput"]["properties"]["shape"]["items"]["minimum"] == 0
    v1 = documents["V1Request"]
    assert v1["oneOf"] == [{"required": ["instances"]}, {"required": ["inputs"]}]
    assert v1["properties"]["instances"]["minItems"] == 1
    assert "default" not in v1["properties"]["instances"]
    refused: list[dict[str, Any]] = [{}, {"instances": []}, {"instances": [[1, 2, 3]], "inputs": 1}]
    for body in refused:
        answer = await client.post("/v1/models/doubler:predict", json=body)
        assert answer.status_code == 400


async def test_the_metrics_are_described_as_text(client: httpx.AsyncClient) -> None:
    operation = (await openapi(client))["paths"]["/metrics"]["get"]
    assert operation["responses"]["200"]["content"].keys() == {"text/plain"}


async def test_the_document_is_the_same_each_time(client: httpx.AsyncClient) -> None:
    assert await openapi(client) == await openapi(client)


async def test_the_protocols_errors_are_described_in_its_shape(client: httpx.AsyncClient) -> None:
    operation = (await openapi(client))["paths"]["/v2/models/{name}/infer"]["post"]
    assert operation["responses"]["429"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/InferenceError"}}
    }
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/InferenceRequest"}


async def test_an_answer_of_bytes_and_its_header_are_described(client: httpx.AsyncClient) -> None:
    operation = (await openapi(client))["paths"]["/v2/models/{name}/infer"]["post"]
    described = operation["responses"]["200"]
    answer = await client.post(
        "/v2/models/doubler/infer",
        content=b"\0" * 12,
        headers={"Inference-Header-Content-Length": "0"},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] in described["content"]
    assert described["content"].keys() == {"application/json", "application/octet-stream"}
    (header,) = described["headers"]
    assert header in answer.headers
    assert operation["responses"]["429"]["headers"].keys() == {"Foldserve-Error", "Retry-After"}


@pytest.mark.parametrize(
    "path", ["/models/{name}/predict", "/v2/models/{name}/infer", "/v1/models/{name}:predict"]
)
async def test_wherever_images_may_come_their_errors_are_described(
    client: httpx.AsyncClient, path: str
) -> None:
    responses = (await openapi(client))["paths"][path]["post"]["responses"]
    for status, code in (("400", "invalid_image"), ("415", "unsupported_image")):
        assert f"`{code}`" in responses[status]["description"]
    assert "`image_too_large`" in responses["413"]["description"]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/models", schemas.ModelList),
        ("/models/brightness", schemas.ModelDetail),
        ("/v2", schemas.ServerMetadata),
        ("/v2/health/live", schemas.Live),
        ("/v2/health/ready", schemas.Ready),
        ("/v2/models/doubler", schemas.ModelMetadata),
        ("/v2/models/doubler/ready", schemas.ModelReady),
        ("/v2/models/doubler/config", triton_schemas.ModelConfig),
        ("/v2/models/brightness/config", triton_schemas.ModelConfig),
        ("/v2/models/doubler/stats", triton_schemas.ModelStatistics),
        ("/v2/models/stats", triton_schemas.ModelStatistics),
        ("/v1/models", v1_schemas.V1Models),
        ("/v1/models/doubler", v1_schemas.V1Status),
        ("/models/nothing", schemas.Problem),
        ("/v1/nothing", schemas.InferenceError),
        ("/v2/nothing", schemas.InferenceError),
    ],
)
async def test_real_answers_are_as_the_document_says(
    client: httpx.AsyncClient, path: str, document: Any
) -> None:
    document.model_validate_json((await client.get(path)).content)


async def test_real_answers_of_the_hot_endpoints_are_as_the_document_says(
    client: httpx.AsyncClient,
) -> None:
    predicted = await client.post("/models/brightness/predict", content=grey(0))
    schemas.PredictAnswer.model_validate_json(predicted.content)
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
    request = {"id": "7", "inputs": [tensor]}
    schemas.InferenceRequest.model_validate(request)
    inferred = await client.post("/v2/models/doubler/infer", json=request)
    schemas.InferenceResponse.model_validate_json(inferred.content)
    rows = await client.post("/v1/models/doubler:predict", json={"instances": [[1, 2, 3]]})
    v1_schemas.V1Answer.model_validate_json(rows.content)
    index = await client.post("/v2/repository/index", json={"ready": True})
    triton_schemas.RepositoryIndex.model_validate_json(index.content)
