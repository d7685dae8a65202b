"""POST /models/{name}/predict."""

import httpx
import pytest

from tests.service.pictures import grey

pytestmark = pytest.mark.anyio


async def test_an_image_as_the_raw_body_is_classified(client: httpx.AsyncClient) -> None:
    answer = await client.post("/models/brightness/predict", content=grey(255))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["version"]) == ("brightness", "1")
    assert [each["label"] for each in body["predictions"]] == ["bright", "grey", "dark"]
    # The logits are -15.5, 5 and 15.5; the softmax of those by hand, to its own rounding.
    assert body["predictions"][0]["probability"] == pytest.approx(0.9999724643, abs=1e-7)


@pytest.mark.parametrize(("level", "label"), [(0, "dark"), (100, "grey"), (255, "bright")])
async def test_the_answer_depends_on_the_image(
    client: httpx.AsyncClient, level: int, label: str
) -> None:
    answer = await client.post("/models/brightness/predict", content=grey(level))
    assert answer.json()["predictions"][0]["label"] == label


async def test_the_content_type_of_curl_does_not_matter(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/models/brightness/predict",
        content=grey(255),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 200


async def test_an_image_as_a_multipart_file_is_classified(client: httpx.AsyncClient) -> None:
    answer = await client.post("/models/brightness/predict", files={"file": grey(255)})
    assert answer.json()["predictions"][0]["label"] == "bright"


async def test_other_parts_of_a_form_are_ignored(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/models/brightness/predict", files={"file": grey(0), "other": b"text"}, data={"a": "b"}
    )
    assert answer.json()["predictions"][0]["label"] == "dark"


async def test_top_k_bounds_the_predictions(client: httpx.AsyncClient) -> None:
    answer = await client.post("/models/brightness/predict?top_k=1", content=grey(255))
    assert [each["label"] for each in answer.json()["predictions"]] == ["bright"]


async def test_a_top_k_beyond_the_classes_means_all(client: httpx.AsyncClient) -> None:
    answer = await client.post("/models/brightness/predict?top_k=1000", content=grey(255))
    assert len(answer.json()["predictions"]) == 3


async def test_a_version_can_be_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/models/brightness/versions/1/predict", content=grey(255))
    assert answer.json()["version"] == "1"
