"""What Triton calls a model's configuration, as far as it is true here; no HTTP.

The members are those of ``ModelConfig`` in https://github.com/triton-inference-server/common,
``protobuf/model_config.proto``, in the JSON form that Triton writes: clients such as
perf_analyzer read them to know how a model may be asked.
"""

from typing import Any

from service.artifact.manifest import ImageInput
from service.artifact.signature import TensorSpec
from service.inference.predictor import Predictor
from service.machine.plan import Plan
from service.repository.entries import MODEL_FILE, Entry
from service.repository.policy import ALL, Policy
from service.settings import Settings

# The protocol's name of a datatype with TYPE_ before it is Triton's, but for this one.
_TYPES = {"BYTES": "TYPE_STRING"}


def model_config(
    entry: Entry, predictor: Predictor, settings: Settings, plan: Plan, policy: Policy = ALL
) -> dict[str, Any]:
    """Return the configuration of one version.

    Args:
        entry: the version.
        predictor: what answers for it.
        settings: sizes and times.
        plan: how many runs there are at once.
        policy: chose the version.
    """
    model = predictor.model
    image = model.manifest.image if model.manifest else None
    batched = predictor.batches
    config: dict[str, Any] = {
        "name": entry.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": policy.as_config(),
        "max_batch_size": settings.max_batch_size if batched else 0,
        "input": [_input(spec, image, batched=batched) for spec in model.signature.inputs],
        "output": [_output(spec, batched=batched) for spec in model.signature.outputs],
        "instance_group": [_instances(entry.name, model.provider, _runs(predictor, plan))],
        "default_model_filename": MODEL_FILE,
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
        "parameters": {},
    }
    return config | ({"dynamic_batching": _batching(settings)} if batched else {})


def _input(spec: TensorSpec, image: ImageInput | None, *, batched: bool) -> dict[str, Any]:
    layout = image.layout if image is not None and image.name == spec.name else "NONE"
    return {
        **_tensor(spec, batched=batched),
        "format": f"FORMAT_{layout}",
        "is_shape_tensor": False,
        "allow_ragged_batch": False,
        "optional": False,
    }


def _output(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    # The labels, where there are any, stand in the model's file and not in one of their own.
    return {**_tensor(spec, batched=batched), "label_filename": "", "is_shape_tensor": False}


def _tensor(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    """Describe a tensor; the dimension of the batch goes without saying."""
    return {
        "name": spec.name,
        "data_type": _TYPES.get(spec.datatype, f"TYPE_{spec.datatype}"),
        "dims": list(spec.wire_shape[1:] if batched else spec.wire_shape),
    }


def _runs(predictor: Predictor, plan: Plan) -> int:
    return plan.workers * (1 if predictor.in_place else plan.runners)


def _instances(name: str, provider: str, count: int) -> dict[str, Any]:
    kind, gpus = ("KIND_GPU", [0]) if provider == "CUDA" else ("KIND_CPU", [])
    return {"name": name, "kind": kind, "count": count, "gpus": gpus}


def _batching(settings: Settings) -> dict[str, Any]:
    return {
        "preferred_batch_size": list(settings.batch_buckets),
        "max_queue_delay_microseconds": round(settings.max_queue_delay_ms * 1000),
        "preserve_ordering": False,
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": round(settings.request_timeout_s * 1e6),
            "allow_timeout_override": True,
            "max_queue_size": settings.max_queue_size,
        },
    }
