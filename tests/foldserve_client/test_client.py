"""Both clients against the real server: whatever one says, so does the other."""

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from PIL import Image

from foldserve_client import AsyncClient, Client, errors
from foldserve_client.documents import Server, Tensor
from tests.clients.expected import CASES
from tests.clients.zoo import Case
from tests.foldserve_client.conftest import KINDS
from tests.foldserve_client.fakes import Ask, Make, fine, server
from tests.service import servers, zoo
from tests.service.keys import KEYS, put
from tests.service.pictures import grey, noise

X = {"x": np.array([[1, 2, 3]], np.float32)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_datatype_and_form_comes_back_to_the_bit(ask: Ask, case: Case) -> None:
    found = ask("infer", case.model, case.inputs)
    assert list(found) == list(case.outputs)
    for name, expected in case.outputs.items():
        assert found[name].dtype == expected.dtype
        assert found[name].shape == expected.shape
        assert found[name].flags.writeable
        np.testing.assert_array_equal(found[name], expected)


def test_the_comparison_of_arrays_can_fail(ask: Ask) -> None:
    (found,) = ask("infer", "open_batch", X).values()
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(found, X["x"])


def test_outputs_come_in_the_order_in_which_they_are_asked_for(ask: Ask) -> None:
    two = {"a": np.array([[1, 2]], np.float32), "b": np.array([[3, 5]], np.float32)}
    both = ask("infer", "two_in_two_out", two, outputs=["difference", "sum"])
    assert {name: each.tolist() for name, each in both.items()} == {
        "difference": [[-2, -3]],
        "sum": [[4, 7]],
    }
    assert list(both) == ["difference", "sum"]
    assert list(ask("infer", "two_in_two_out", two, outputs=["sum"])) == ["sum"]


def test_a_version_can_be_named(ask: Ask) -> None:
    assert ask("infer", "versions", X, version="1")["y"].tolist() == [[1, 2, 3]]
    assert ask("infer", "versions", X)["y"].tolist() == [[2, 4, 6]]


@pytest.mark.parametrize("kind", ["bytes", "path", "text", "pillow"])
def test_an_image_is_bytes_a_path_or_a_picture(ask: Ask, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    path.write_bytes(grey(255))
    given: dict[str, Any] = {
        "bytes": grey(255),
        "path": path,
        "text": str(path),
        "pillow": Image.new("L", (4, 4), 255),
    }
    found = ask("predict", "brightness", given[kind], top_k=2)
    assert (found.model, found.version) == ("brightness", "1")
    assert found.best is found.predictions[0]
    assert [each.label for each in found.predictions] == ["bright", "grey"]
    logits = np.array([-15.5, 5.0, 15.5])  # of white: tests/service/zoo.py
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert (found.best.label, found.best.index) == ("bright", 2)
    # The server's softmax is of float64 from float32 logits that are exact here.
    assert found.best.probability == pytest.approx(probabilities[2], rel=1e-12)


def test_all_classes_come_when_none_are_counted(ask: Ask) -> None:
    assert len(ask("predict", "brightness", grey(0), version="1").predictions) == 3


def test_the_server_and_its_models_are_shown(ask: Ask) -> None:
    assert ask("live") is True
    assert ask("ready") is True
    told = ask("metadata")
    assert isinstance(told, Server)
    assert told.name == "foldserve"
    assert "binary_tensor_data" in told.extensions
    models = {each.name: each for each in ask("models")}
    assert models.keys() == {case.model for case in CASES.values()}
    assert [each.version for each in models["versions"].versions] == ["1", "2"]


def test_a_model_is_shown_with_its_signature_and_manifest(ask: Ask) -> None:
    model = ask("model", "brightness")
    (version,) = model.versions
    assert (model.version, model.state, version.state) == ("1", "ready", "ready")
    assert (version.provider, version.batched, version.reason) == (
        "CPU",
        True,
        None,
    )
    assert version.inputs == (Tensor("input", "FP32", (-1, 1, 4, 4)),)
    assert version.outputs == (Tensor("logits", "FP32", (-1, 3)),)
    assert version.manifest["labels"] == ["dark", "grey", "bright"]
    assert ask("model", "mean").versions[0].manifest is None


def test_statistics_count_what_was_asked(ask: Ask) -> None:
    (before,) = ask("statistics", "open_batch", version="1")
    ask("infer", "open_batch", {"x": np.zeros((5, 3), np.float32)})
    (after,) = ask("statistics", "open_batch")
    assert after.inference_count == before.inference_count + 5
    assert after.success.count == before.success.count + 1
    assert after.compute_infer.ns > before.compute_infer.ns
    assert len(ask("statistics")) > 1


@pytest.mark.parametrize(
    ("name", "arguments", "options", "error", "status"),
    [
        ("infer", ("nothing", X), {}, errors.ModelNotFound, 404),
        ("infer", ("versions", X), {"version": "9"}, errors.VersionNotFound, 404),
        ("infer", ("open_batch", {"z": X["x"]}), {}, errors.InvalidRequest, 400),
        ("infer", ("open_batch", {"x": np.zeros((1, 3))}), {}, errors.InvalidTensor, 400),
        ("infer", ("open_batch", {"x": np.zeros((33, 3), "f4")}), {}, errors.BatchTooLarge, 400),
        ("model", ("nothing",), {}, errors.ModelNotFound, 404),
        ("model", ("a b/../ü?#",), {}, errors.NotFound, 404),
        ("predict", ("nothing", b""), {}, errors.ModelNotFound, 404),
        ("predict", ("brightness", b"hello"), {}, errors.UnsupportedImage, 415),
        ("predict", ("brightness", grey(0)), {"top_k": 0}, errors.InvalidParameter, 422),
        ("predict", ("mean", grey(0)), {}, errors.ModelTakesNoImages, 422),
        ("statistics", ("nothing",), {}, errors.ModelNotFound, 404),
    ],
)
def test_an_error_is_the_class_of_its_code(
    ask: Ask,
    name: str,
    arguments: Any,
    options: Any,
    error: type[errors.ServiceError],
    status: int,
) -> None:
    with pytest.raises(errors.ServiceError) as caught:
        ask(name, *arguments, **options)
    found = caught.value
    assert type(found) is error
    assert (found.status, found.code) == (status, error.code)
    assert found.request_id
    assert found.detail
    assert found.retry_after_s is None
    assert str(found) == f"{found.detail} ({status} {error.code}, request {found.request_id})"


def test_a_call_that_would_be_late_is_dropped_by_the_server_too(url: str) -> None:
    """The model takes a tenth of a second and more; the server answers as late as the client."""
    with Client(url) as client, pytest.raises((errors.TimedOut, errors.DeadlineExceeded)):
        client.infer("slow", {"x": np.zeros(1, np.float32)}, timeout_s=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_bodies_say_the_same(url: str, kind: str) -> None:
    """Large enough for both sides to pack; noise, which comes back to the bit."""
    x = np.random.default_rng(0).normal(size=(2, 4096)).astype(np.float32)
    ask = KINDS[kind](url, gzip=True)
    np.testing.assert_array_equal(ask("infer", "long_rows", {"x": x})["y"], 2 * x)


@pytest.mark.parametrize("packed", [True, False])
def test_bodies_are_packed_only_where_it_is_asked_for(make: Make, packed: bool) -> None:
    told = {"model": "m", "version": "1", "predictions": [prediction()]}
    fake = server(fine(told))
    make(fake, gzip=packed)("predict", "m", bytes(10_000))
    (sent,) = fake.asked
    assert sent.headers["accept-encoding"] == ("gzip" if packed else "identity")
    assert (sent.headers.get("content-encoding") == "gzip") is packed
    assert (len(sent.content) < 10_000) is packed


def prediction() -> dict[str, Any]:
    return {"label": "a", "index": 0, "probability": 1.0}


def test_small_bodies_are_never_packed(make: Make) -> None:
    fake = server(fine({"model": "m", "version": "1", "predictions": [prediction()]}))
    make(fake, gzip=True)("predict", "m", bytes(1000))
    assert "content-encoding" not in fake.asked[0].headers


def test_a_key_is_sent_and_its_scope_is_told(tmp_path: Path) -> None:
    zoo.put(tmp_path, "m", 1, zoo.doubler())
    with servers.server(tmp_path, API_KEYS=put(tmp_path)) as running:
        with Client(running.url, api_key=KEYS["predict"]) as client:
            assert client.infer("m", X)["y"].tolist() == [[2, 4, 6]]
            with pytest.raises(errors.Forbidden):
                client.statistics()
        for key in (None, "fs_other"):
            with Client(running.url, api_key=key) as client:
                assert client.ready()
                with pytest.raises(errors.Unauthorized):
                    client.infer("m", X)


def test_a_key_goes_as_a_bearer_token_beside_other_headers(make: Make) -> None:
    fake = server(fine({"models": []}))
    assert make(fake, api_key="fs_secret", headers={"Via-Gateway": "yes"})("models") == ()
    assert fake.asked[0].headers["authorization"] == "Bearer fs_secret"
    assert fake.asked[0].headers["via-gateway"] == "yes"
    assert fake.asked[0].headers["user-agent"].startswith("foldserve-client/")


def test_many_threads_share_one_client(url: str) -> None:
    together = threading.Barrier(8)
    with Client(url) as client:

        def ask(number: int) -> float:
            together.wait()
            x = np.full((1, 3), number, np.float32)
            return float(client.infer("open_batch", {"x": x})["y"][0, 0])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(64))) == [2 * number for number in range(64)]


def test_many_tasks_share_one_client(url: str) -> None:
    found: dict[int, float] = {}

    async def ask(client: AsyncClient, number: int) -> None:
        x = np.full((1, 3), number, np.float32)
        found[number] = float((await client.infer("open_batch", {"x": x}))["y"][0, 0])

    async def main() -> None:
        async with AsyncClient(url) as client, anyio.create_task_group() as group:
            for number in range(64):
                group.start_soon(ask, client, number)

    anyio.run(main)
    assert found == {number: 2 * number for number in range(64)}


def test_a_photograph_goes_as_it_is(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    noise(400, 300).save(path)
    assert ask("predict", "brightness", path) == ask("predict", "brightness", path.read_bytes())


def test_both_clients_have_the_same_calls() -> None:
    plain = {name: each for name, each in vars(Client).items() if not name.startswith("_")}
    other = {name: each for name, each in vars(AsyncClient).items() if not name.startswith("_")}
    assert plain.keys() - other.keys() == {"close"}
    assert other.keys() - plain.keys() == {"aclose"}
    for name in plain.keys() & other.keys():
        assert inspect.signature(plain[name]) == inspect.signature(other[name]), name
    accepted = [inspect.signature(kind).parameters.keys() for kind in (Client, AsyncClient)]
    assert accepted[0] == accepted[1]


def test_a_prefix_in_the_url_stays(make: Make) -> None:
    fake = server(fine({"models": []}))
    make(fake)("models")
    assert fake.asked[0].url == "http://fake/models"
    fake = server(fine({"models": []}))
    make(fake, url="https://host.example/serving/")("models")
    assert fake.asked[0].url == "https://host.example/serving/models"
