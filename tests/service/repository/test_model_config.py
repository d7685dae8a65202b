"""A model's configuration in Triton's words."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.artifact.manifest import read_manifest
from service.artifact.signature import Signature, TensorSpec
from service.machine.plan import Plan
from service.repository.entries import Entry
from service.repository.model_config import model_config
from service.settings import Settings
from tests.service import zoo
from tests.service.fakes import FakeModel

# What Triton 24 and 25 answered for an ONNX model with dynamic batching, as users published it.
RECORDED: dict[str, Any] = {
    "name": "model_test",
    "platform": "onnxruntime_onnx",
    "backend": "onnxruntime",
    "runtime": "",
    "version_policy": {"latest": {"num_versions": 1}},
    "max_batch_size": 4,
    "input": [
        {
            "name": "images",
            "data_type": "TYPE_FP32",
            "format": "FORMAT_NONE",
            "dims": [3, -1, -1],
            "is_shape_tensor": False,
            "allow_ragged_batch": False,
            "optional": False,
        }
    ],
    "output": [
        {
            "name": "output",
            "data_type": "TYPE_FP32",
            "dims": [10],
            "label_filename": "",
            "is_shape_tensor": False,
        }
    ],
    "dynamic_batching": {
        "preferred_batch_size": [4],
        "max_queue_delay_microseconds": 0,
        "preserve_ordering": False,
    },
    "instance_group": [{"name": "model_test", "kind": "KIND_CPU", "count": 2, "gpus": []}],
    "default_model_filename": "model.onnx",
    "parameters": {},
}
# Triton leaves them out where they say the same; perf_analyzer reads them where they are there.
BESIDE = {
    "model_transaction_policy": {"decoupled": False},
    "response_cache": {"enable": False},
}


class Served:
    """What a configuration is made from, without a batcher behind it."""

    def __init__(self, model: FakeModel, *, batches: bool, in_place: bool) -> None:
        self.model = model
        self.batches = batches
        self.in_place = in_place


def config(
    model: FakeModel, *, batches: bool = True, in_place: bool = True, **choices: Any
) -> dict[str, Any]:
    predictor: Any = Served(model, batches=batches, in_place=in_place)
    entry = Entry("model_test", "1", Path("model.onnx"))
    plan = Plan(workers=2, intra_op_threads=1, decode_threads=1, runners=3, reason="")
    return model_config(entry, predictor, Settings(**choices), plan)


def fake(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()) -> FakeModel:
    model = FakeModel()
    model.signature = Signature(inputs, outputs)
    return model


def test_the_configuration_is_tritons_but_for_what_is_not_so_here() -> None:
    model = fake(
        TensorSpec("images", "FP32", ("n", 3, "h", "w")),
        outputs=(TensorSpec("output", "FP32", ("n", 10)),),
    )
    found = config(model, max_batch_size=4, batch_buckets=(4,))
    policy = found["dynamic_batching"].pop("default_queue_policy")
    assert found.pop("version_policy") == {"all": {}}
    ours = {"runtime", "version_policy"}
    assert found == BESIDE | {key: RECORDED[key] for key in RECORDED.keys() - ours}
    assert policy == {
        "timeout_action": "REJECT",
        "default_timeout_microseconds": 30_000_000,
        "allow_timeout_override": True,
        "max_queue_size": 1024,
    }


def test_a_model_whose_runs_are_not_shared_states_its_whole_shapes() -> None:
    model = fake(TensorSpec("x", "INT64", ("n", 3)), outputs=(TensorSpec("y", "INT64", (1, "m")),))
    found = config(model, batches=False)
    assert found["max_batch_size"] == 0
    assert found["input"][0]["dims"] == [-1, 3]
    assert found["output"][0]["dims"] == [1, -1]
    assert "dynamic_batching" not in found


@pytest.mark.parametrize(
    ("datatype", "name"),
    [
        ("BYTES", "TYPE_STRING"),
        ("FP16", "TYPE_FP16"),
        ("BOOL", "TYPE_BOOL"),
        ("UINT8", "TYPE_UINT8"),
    ],
)
def test_types_have_tritons_names(datatype: str, name: str) -> None:
    assert config(fake(TensorSpec("x", datatype, ("n", 3))))["input"][0]["data_type"] == name


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_image_states_its_layout(layout: str) -> None:
    document = zoo.manifest_document()
    document["input"]["layout"] = layout
    model = fake(TensorSpec("input", "FP32", ("n", 1, 4, 4)), TensorSpec("other", "FP32", ("n",)))
    model.manifest = read_manifest(json.dumps(document))
    formats = [each["format"] for each in config(model)["input"]]
    assert formats == [f"FORMAT_{layout}", "FORMAT_NONE"]


def test_a_model_on_a_gpu_says_so() -> None:
    model = fake(TensorSpec("x", "FP32", ("n", 3)))
    model.provider = "CUDA"
    assert config(model)["instance_group"][0]["kind"] == "KIND_GPU"


@pytest.mark.parametrize(("in_place", "runs"), [(True, 2), (False, 6)])
def test_instances_are_the_runs_at_once_in_all_workers(in_place: bool, runs: int) -> None:
    assert config(FakeModel(), in_place=in_place)["instance_group"][0]["count"] == runs


def test_times_are_in_microseconds() -> None:
    batching = config(FakeModel(), max_queue_delay_ms=1.5, request_timeout_s=0.25)[
        "dynamic_batching"
    ]
    assert batching["max_queue_delay_microseconds"] == 1500
    assert batching["default_queue_policy"]["default_timeout_microseconds"] == 250_000
