"""The parts of the page that compute, each held against what knows the answer."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto
from playwright.sync_api import Browser, Page

from service.artifact.signature import DATATYPES
from tests.browser.chromium import Visit
from tests.browser.conftest import Open
from tests.service import zoo
from tests.service.servers import PATIENCE_S, Server, server

NPY_TYPES = ("<f4", ">f4", "<f8", "|i1", "|u1", "<i2", "<u2", "<i4", ">i4", "<u4", "<i8", "<u8")
KINDS = {
    TensorProto.DataType.Name(kind).lower(): kind
    for kind in (
        *(TensorProto.BOOL, TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32),
        *(TensorProto.UINT64, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32),
        *(TensorProto.INT64, TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE),
        TensorProto.STRING,
    )
}


@pytest.fixture(scope="module")
def page(browser: Browser, served: Server) -> Iterator[Page]:
    visit = Visit(browser, served.url).go("/#/try/pair")
    yield visit.page
    visit.check()
    visit.context.close()


def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module, with arguments that JSON has."""
    run = """async ([module, name, given]) => {
      const it = await import(`/playground/${module}`);
      try { return { value: it[name](...given) }; }
      catch (error) { return { refused: error.message }; }
    }"""
    answer = page.evaluate(run, [module, function, list(arguments)])
    assert answer, "undefined is no answer"
    return answer.get("value", answer.get("refused"))


def read_npy(page: Page, content: bytes) -> Any:
    run = """async (bytes) => {
      const { readNpy } = await import("/playground/try/npy.js");
      try { return readNpy(new Uint8Array(bytes).buffer); } catch (error) { return error.message; }
    }"""
    return page.evaluate(run, list(content))


def npy(array: "np.ndarray[Any, Any]") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", NPY_TYPES)
def test_arrays_are_read_as_numpy_wrote_them(page: Page, dtype: str) -> None:
    array = np.arange(-3, 21).reshape(2, 3, 4).astype(dtype)
    found = read_npy(page, npy(array))
    assert found["shape"] == [2, 3, 4]
    assert np.array_equal(np.array(found["values"], np.float64), array.ravel().astype(np.float64))


def test_an_array_that_would_be_read_wrongly_is_refused(page: Page) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert "Fortran" in read_npy(page, npy(np.asfortranarray(array)))
    assert "only .npy files" in read_npy(page, npy(array.astype(np.complex64)))
    assert "does not hold the 6 numbers" in read_npy(page, npy(array)[:-1])
    assert "no .npy file" in read_npy(page, b"PK" + npy(array)[2:])


def test_probabilities_are_those_of_a_softmax_in_float64(page: Page) -> None:
    logits = [3.5, -1000.0, 700.0, 699.0, 0.0]  # exp(700) alone is near the end of float64
    shifted = np.exp(np.array(logits) - max(logits))
    # One rounding each in exp, the sum and the division.
    expected = pytest.approx(list(shifted / shifted.sum()), rel=1e-14, abs=1e-300)
    assert call(page, "try/outcome.js", "softmax", logits) == expected


def test_quantiles_are_prometheus_own(page: Page) -> None:
    """By hand: 4 values to 1, 4 more to 2, 2 more to 10."""
    bounds, counts = [1, 2, 10, 1e308], [4, 8, 10, 10]
    told = [
        call(page, "server/histogram.js", "quantile", share, {"bounds": bounds, "counts": counts})
        for share in (0.2, 0.5, 0.8, 0.9, 1)
    ]
    assert told == pytest.approx([0.5, 1.25, 2, 6, 10])


def test_a_quantile_beyond_every_bound_is_the_last_of_them(page: Page) -> None:
    run = """async (counts) => {
      const { quantile } = await import("/playground/server/histogram.js");
      return quantile(0.99, { bounds: [1, 2, Infinity], counts });
    }"""
    assert page.evaluate(run, [0, 0, 5]) == 2
    assert page.evaluate(run, [0, 0, 0]) is None


def test_the_parts_of_a_request_are_read_in_every_form_of_the_header(page: Page) -> None:
    header = 'decode;dur=0.5, queue;desc="a";dur=1.25,infer ; dur=2'
    parts = call(page, "try/latency.js", "split", header, 10)
    assert [(part["name"], part["ms"]) for part in parts] == [
        ("decode", 0.5),
        ("queue", 1.25),
        ("infer", 2),
        ("rest", 6.25),
    ]
    without = call(page, "try/latency.js", "split", "", 3)
    assert [part["ms"] for part in without] == [0, 0, 0, 3]


def test_a_generated_signal_is_the_same_each_time_and_of_its_sizes(page: Page) -> None:
    choice = {"form": "sine", "cycles": 2, "amplitude": 1.5, "noise": 0}
    found = np.array(call(page, "try/waveform.js", "waveform", choice, 2, 40))
    steps = np.arange(40) / 40
    for channel in range(2):
        expected = 1.5 * np.sin(2 * np.pi * (2 * steps + channel / 4))
        assert np.abs(found[channel] - expected).max() <= 0.5e-4 + 1e-12  # rounded to 4 digits
    noisy = [
        call(page, "try/waveform.js", "waveform", choice | {"noise": 0.3}, 1, 2000)
        for _ in range(2)
    ]
    assert noisy[0] == noisy[1]
    clean = call(page, "try/waveform.js", "waveform", choice, 1, 2000)
    spread = float(np.std(np.array(noisy[0]) - np.array(clean)))
    assert spread == pytest.approx(0.3, rel=0.1)  # 2000 samples: 1.6 % is one standard error


def test_an_address_is_read_as_it_was_written(page: Page) -> None:
    for model in ("digits", "a.b_c-d", "50%", "a b"):
        route = {"view": "model", "model": model, "version": "3"}
        written = call(page, "route.js", "writeRoute", route)
        assert call(page, "route.js", "readRoute", written) == route


@pytest.mark.parametrize(
    ("value", "words"),
    [(1, 1), (0.003, 0.005), (7, 10), (120, 200), (500, 500), (501, 1000), (0, 1), (1.0001, 2)],
)
def test_the_top_of_a_chart_is_a_round_number_above_all(
    page: Page, value: float, words: float
) -> None:
    assert call(page, "scale.js", "ceiling", value) == pytest.approx(words)


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        ([("FP32", [-1, 1, 40])], "signal"),
        ([("FP16", [1, 3, -1])], "signal"),
        ([("INT64", [-1, 1, 40])], "tensor"),
        ([("FP32", [-1, -1, 40])], "tensor"),
        ([("FP32", [-1, 3, 8, 8])], "tensor"),
        ([("FP32", [-1, 1, 40]), ("FP32", [-1, 1, 40])], "tensor"),
        (None, "none"),
    ],
)
def test_what_a_model_takes_follows_from_its_signature(
    page: Page, inputs: list[tuple[str, list[int]]] | None, kind: str
) -> None:
    specs: list[dict[str, Any]] | None = None
    if inputs is not None:
        specs = [{"name": "x", "datatype": name, "shape": shape} for name, shape in inputs]
    version = {"inputs": specs, "outputs": specs, "manifest": None}
    assert call(page, "try/kind.js", "kindOf", version) == kind


def test_the_example_of_every_datatype_is_answered(browser: Browser, tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        zoo.put(tmp_path, name, 1, zoo.identity(kind, ("batch", 2, "n")))
    answered = set()
    with server(tmp_path) as running:
        visit = Visit(browser, running.url).go("/")
        for name in KINDS:
            url = f"{running.url}/models/{name}"
            version = httpx.get(url, timeout=PATIENCE_S).json()["versions"][0]
            example = call(visit.page, "try/tensor.js", "example", version)
            url = f"{running.url}/v2/models/{name}/infer"
            answer = httpx.post(url, content=example, timeout=PATIENCE_S)
            assert answer.status_code == 200, (name, answer.text)
            answered.add(json.loads(example)["inputs"][0]["datatype"])
        visit.check()
        visit.context.close()
    assert answered == set(DATATYPES)


def test_every_module_is_short_and_says_what_it_is(root: Path) -> None:
    for path in (root / "service/playground").rglob("*.js"):
        text = path.read_text()
        assert text.startswith("/**"), path
        assert len(text.splitlines()) <= 150, path
        # Markup is never made of text, and nothing is run that came as text.
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|eval\(|new Function|document\.write", text
        )


def test_a_model_of_many_numbers_has_no_example(visit: Open) -> None:
    page = visit("/").page
    spec = [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 1000, 1000]}]
    assert call(page, "try/tensor.js", "example", {"inputs": spec, "outputs": []}) == ""
