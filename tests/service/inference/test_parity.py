"""A model that computes something else here than at export is not served."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.agreement import check_manifest
from service.artifact.manifest import read_manifest
from service.artifact.signature import Array, Signature, TensorSpec
from service.artifact.vector import positions_of
from service.errors import InferenceFailed, ModelLoadError
from service.inference.parity import check_parity
from tests.service import zoo


class Answering:
    """Answers what a test says, and keeps what it was asked."""

    def __init__(
        self, document: Mapping[str, Any] | None, provider: str = "CPU", kind: str = "FP32"
    ) -> None:
        self.manifest = read_manifest(json.dumps(document)) if document else None
        self.provider = provider
        self.hangs = False
        vector = (document or {}).get("vector", {"inputs": [], "outputs": []})
        self.signature = Signature(
            tuple(TensorSpec(one["name"], kind, tuple(one["shape"])) for one in vector["inputs"]),
            tuple(
                TensorSpec(one["name"], "FP32", tuple(one["shape"])) for one in vector["outputs"]
            ),
        )
        self.answer: dict[str, Array] = {}
        self.asked: list[Mapping[str, Array]] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.asked.append(inputs)
        if not self.answer:
            raise InferenceFailed("the model failed on this input")
        return self.answer

    def terminate(self) -> None:
        raise AssertionError("the one who opened it ends it")


def an_input(name: str = "x", *shape: int, low: float = 0.0, high: float = 1.0) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "low": low, "high": high}


def an_output(values: list[Any], *shape: int, scale: float = 1.0) -> dict[str, Any]:
    return {
        "name": "y",
        "shape": list(shape) or [len(values)],
        "scale": scale,
        "values": values,
    }


def document(*outputs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    vector = {
        "seed": 0,
        "inputs": [an_input("x", 1, 3)],
        "outputs": list(outputs),
        "tolerance": {"cpu": 0.001, "cuda": 0.02},
    }
    found = zoo.manifest_document() | {"format_version": 3, "input": None, "output": None}
    return found | {"labels": None, "vector": vector | changes}


def checked(stated: dict[str, Any], answer: Array, **changes: Any) -> bool:
    model = Answering(stated, **changes)
    model.answer = {"y": answer}
    return check_parity(model)


def test_a_model_without_a_vector_is_told_from_one_that_was_checked() -> None:
    assert not check_parity(Answering(None))
    assert not check_parity(Answering(zoo.manifest_document()))
    assert checked(document(an_output([1.0, 2.0])), np.array([1, 2], np.float32))


def test_the_first_numbers_of_the_stream_are_those_that_are_published() -> None:
    """SplitMix64 of seed 1234567: 6457827717110365317, 3203168211198807973, ..."""
    stated = document(
        an_output([0.0]), seed=1234567, inputs=[an_input("x", 2, high=256.0), an_input("z", 1)]
    )
    model = Answering(stated)
    model.answer = {"y": np.zeros(1, np.float32)}
    assert check_parity(model)
    (asked,) = model.asked
    bits = [6457827717110365317 >> 40, 3203168211198807973 >> 40, 9817491932198370423 >> 40]
    assert asked["x"].tolist() == [bits[0] / 2**16, bits[1] / 2**16]
    assert asked["z"].tolist() == [bits[2] / 2**24]


@pytest.mark.parametrize("kind", ["UINT8", "INT64", "BOOL", "FP16", "FP64"])
def test_inputs_of_every_type_stay_in_their_range(kind: str) -> None:
    high = 1.0 if kind == "BOOL" else 255.0
    stated = document(an_output([0.0]), inputs=[an_input("x", 2, 70_000, high=high)])
    model = Answering(stated, kind=kind)
    model.answer = {"y": np.zeros(1, np.float32)}
    assert check_parity(model)
    x = model.asked[0]["x"]
    assert x.dtype == model.signature.inputs[0].dtype
    assert x.shape == (2, 70_000)
    assert float(x.min()) < 0.01 * high + 0.001
    assert 0.99 * high < float(x.max()) <= high
    assert not np.array_equal(x[0], x[1])


@pytest.mark.parametrize(
    ("provider", "error", "passes"),
    [("CPU", 0.9, True), ("CPU", 1.1, False), ("CUDA", 1.1, True), ("CUDA", 25, False)],
)
def test_the_bound_is_that_of_the_provider_by_the_largest_output(
    provider: str, error: float, passes: bool
) -> None:
    """In thousandths of the largest, which is 4."""
    stated = document(an_output([1.0, -4.0], scale=4.0))
    answer = np.array([1 + error * 0.004, -4], np.float32)
    if passes:
        assert checked(stated, answer, provider=provider)
        return
    with pytest.raises(ModelLoadError, match=r"output 'y' at \[0\] is .* and was 1 at export"):
        checked(stated, answer, provider=provider)


def test_the_place_of_a_wrong_number_is_named() -> None:
    stated = document(an_output([1.0, 2.0, 3.0, 4.0], 2, 2, scale=4.0))
    with pytest.raises(ModelLoadError, match=r"at \[1, 0\] is 9 here and was 3 at export"):
        checked(stated, np.array([[1, 2], [9, 4]], np.float32))


def test_nan_and_infinity_are_near_to_themselves_alone() -> None:
    stated = document(an_output(["nan", "inf", "-inf", 1.0]))
    right = [math.nan, math.inf, -math.inf, 1.0]
    assert checked(stated, np.array(right, np.float32))
    for index in range(4):
        wrong = list(right)
        wrong[index] = 0.5
        with pytest.raises(ModelLoadError, match=rf"at \[{index}\] is 0.5"):
            checked(stated, np.array(wrong, np.float32))
    with pytest.raises(ModelLoadError, match="is nan here and was 1 at export"):
        checked(stated, np.array([*right[:3], math.nan], np.float32))


def test_whole_numbers_may_differ_in_a_small_share() -> None:
    """Two classes that are equally likely swap places; one number alone is what it was."""
    stated = document(
        an_output([2**62 + 1, *range(255)], 256), tolerance={"cpu": 0.01, "cuda": 0.02}
    )
    answer = np.array([2**62 + 1, *range(255)], np.int64)
    assert checked(stated, answer)
    answer[[3, 4]] = [7, 7]  # of 256, less than a hundredth
    assert checked(stated, answer)
    answer[0] -= 1  # which no float tells
    with pytest.raises(ModelLoadError, match=r"at \[0\]"):
        checked(stated, answer)
    with pytest.raises(ModelLoadError, match=r"at \[0\] is 2 here and was 1"):
        checked(document(an_output([1])), np.array([2], np.uint8))
    assert checked(document(an_output([1, 0])), np.array([True, False]))


def test_of_a_large_output_a_sample_is_compared() -> None:
    shape = (1, 4, 1000)
    whole = np.arange(4000, dtype=np.float32).reshape(shape)
    stated = document(an_output([0.0] * 256, *shape, scale=4000.0))
    places = positions_of(read(stated).vector, 0)
    assert 0 <= places.min() < places.max() < 4000
    assert len(set(places.tolist())) > 200
    stated = document(an_output([float(p) for p in places], *shape, scale=4000.0))
    assert checked(stated, whole)
    with pytest.raises(ModelLoadError, match="at export"):
        checked(stated, whole[:, ::-1].copy())


def read(stated: dict[str, Any]) -> Any:
    return read_manifest(json.dumps(stated))


def test_another_shape_no_output_and_no_number_are_refused() -> None:
    stated = document(an_output([1.0]))
    with pytest.raises(ModelLoadError, match=r"is \[1, 1\] here and was \[1\]"):
        checked(stated, np.ones((1, 1), np.float32))
    with pytest.raises(ModelLoadError, match="fails on its manifest's vector"):
        check_parity(Answering(stated))
    with pytest.raises(ModelLoadError, match="no numbers to compare"):
        checked(stated, np.array(["a"], object))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seed": -1}, "vector.seed"),
        ({"seed": 2**63}, "vector.seed"),
        ({"seed": True}, "vector.seed"),
        ({"outputs": []}, "vector.outputs"),
        ({"outputs": [an_output([1.0] * 257)]}, r"vector.outputs.0.values"),
        ({"outputs": [an_output([1.0], 3)]}, r"vector.outputs.0"),
        ({"outputs": [an_output([1.0], scale=-1.0)]}, r"vector.outputs.0.scale"),
        ({"outputs": [an_output([True])]}, r"vector.outputs.0.values.0"),
        ({"outputs": [an_output(["1"])]}, r"vector.outputs.0.values.0"),
        ({"outputs": [an_output([10**400])]}, r"vector.outputs.0.values.0"),
        ({"inputs": [an_input("x", *[1] * 17)]}, r"vector.inputs.0.shape"),
        ({"inputs": [an_input("x", -1)]}, r"vector.inputs.0.shape"),
        ({"inputs": [an_input("x", 2**20, 2**20)]}, "more than 134217728 numbers"),
        ({"inputs": [an_input("x", low=-1e300)]}, r"vector.inputs.0.low"),
        ({"tolerance": {"cpu": 0, "cuda": 1}}, "vector.tolerance.cpu"),
        ({"tolerance": {"cpu": 1, "cuda": 1.5}}, "vector.tolerance.cuda"),
        ({"extra": 1}, "vector.extra"),
    ],
)
def test_a_vector_that_is_none_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ModelLoadError, match=field):
        read(document(an_output([1.0]), **changes))


def test_a_manifest_of_today_without_a_vector_is_refused() -> None:
    stated = document(an_output([1.0]))
    del stated["vector"]
    with pytest.raises(ModelLoadError, match="vector: Field required"):
        read(stated)


def test_a_manifest_has_a_longest_length() -> None:
    with pytest.raises(ModelLoadError, match="longer than 4194304 characters"):
        read_manifest(json.dumps(document(an_output([1.0])) | {"task": "x" * 2**22}))


GRAPH = Signature((TensorSpec("x", "FP32", ("batch", 3)),), (TensorSpec("y", "FP32", (None,)),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": []}, "inputs are not the inputs of the graph"),
        ({"inputs": [an_input("x", 1, 3)] * 2}, "inputs are not"),
        ({"inputs": [an_input("x", 1, 4)]}, r"'x' is \[1, 4\], the graph's input is \[-1, 3\]"),
        ({"inputs": [an_input("x", 3)]}, r"'x' is \[3\]"),
        ({"outputs": [an_output([1.0]) | {"name": "z"}]}, "outputs are not the outputs"),
    ],
)
def test_a_vector_of_another_graph_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        check_manifest(read(document(an_output([1.0]), **changes)), GRAPH)
    check_manifest(read(document(an_output([1.0]))), GRAPH)


def test_texts_are_made_of_no_seed() -> None:
    texts = Signature((TensorSpec("x", "BYTES", (1, 3)),), GRAPH.outputs)
    with pytest.raises(ModelLoadError, match="are texts"):
        check_manifest(read(document(an_output([1.0]))), texts)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["nan", "inf", "-inf", "x", ""])
    | st.integers(-3, 3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = (
    ("seed",),
    ("inputs",),
    ("outputs",),
    ("tolerance",),
    *(("inputs", 0, field) for field in ("name", "shape", "low", "high")),
    *(("outputs", 0, field) for field in ("name", "shape", "scale", "values")),
    *(("tolerance", provider) for provider in ("cpu", "cuda")),
)


@given(st.sampled_from(PLACES), ANYTHING)
def test_whatever_stands_in_a_vector_it_is_read_or_refused(
    place: tuple[str | int, ...], value: Any
) -> None:
    """Read, held against its graph, made into inputs and compared: nothing else is raised."""
    stated = document(an_output([1.0, "nan"]))
    found: Any = stated["vector"]
    for step in place[:-1]:
        found = found[step]
    found[place[-1]] = value
    try:
        manifest = read_manifest(json.dumps(stated))
        check_manifest(manifest, GRAPH)
        model = Answering(document(an_output([1.0, "nan"])))
        model.manifest = manifest
        model.answer = {"y": np.array([1, math.nan], np.float32)}
        check_parity(model)
    except ModelLoadError as error:
        assert "/" not in str(error)  # noqa: PT017 -- to be served is right as well


@given(st.data())
def test_a_damaged_manifest_is_read_or_refused(data: st.DataObject) -> None:
    text = json.dumps(document(an_output([1.0, "nan"])))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    put_in = data.draw(st.text('0123456789-+.eE"[]{},:aN ', max_size=8))
    try:
        read_manifest(text[:start] + put_in + text[end:])
    except ModelLoadError as error:
        assert len(str(error)) < 1000  # noqa: PT017 -- to be read is right as well
