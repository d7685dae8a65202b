"""What the JSON of an inference request asks for; no HTTP, no model, only its signature."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from service.errors import InvalidJSON, InvalidRequest
from service.signature import Signature, Tensors, TensorSpec
from service.tensors import brief, decode_tensor

# Parameters that change what an answer means: ignored, the client would read it wrongly. Those
# that only ask how it is sent, or how soon, are ignored as the protocol says.
_SEQUENCE = frozenset({"sequence_id", "sequence_start", "sequence_end"})
_PLACE = frozenset({"shared_memory_region"})
_RANKING = frozenset({"classification"})


class InferenceRequest(NamedTuple):
    """A request of the Open Inference Protocol that fits a signature.

    Args:
        id: the client's, to be given back.
        inputs: every input of the signature.
        outputs: those that are asked for, in that order.
    """

    id: str | None
    inputs: Tensors
    outputs: Sequence[TensorSpec]


def read_request(body: bytes, signature: Signature) -> InferenceRequest:
    """Return what a body asks for; blocks while a large one is read.

    Raises:
        InvalidJSON: the body is none; NaN and infinity are no JSON either.
        InvalidRequest: it does not have the protocol's form.
        InvalidTensor: an input contradicts itself or the signature.
    """
    try:
        document = _object("the request", orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"the body is not JSON: {error.msg} at byte {error.pos}") from None
    _refuse_unsupported("parameters", document, _SEQUENCE)
    return InferenceRequest(
        _request_id(document),
        outputs=_wanted_outputs(document, signature),
        inputs=_inputs(document, signature),
    )


def _request_id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest(f"id must be a string, not {brief(request_id)}")
    return request_id


def _inputs(document: dict[str, Any], signature: Signature) -> Tensors:
    """Return every input of the signature; each once, none missing, none unknown."""
    tensors = _named_objects("inputs", document.get("inputs"), signature.inputs)
    missing = [spec.name for spec in signature.inputs if spec.name not in tensors]
    if missing:
        raise InvalidRequest(f"inputs lacks {', '.join(map(repr, missing))}")
    return {spec.name: decode_tensor(*tensors[spec.name], spec=spec) for spec in signature.inputs}


def _wanted_outputs(document: dict[str, Any], signature: Signature) -> Sequence[TensorSpec]:
    """Return the outputs that are asked for, in the order of the request."""
    asked = document.get("outputs")
    if asked is None or asked == []:
        return signature.outputs
    by_name = {spec.name: spec for spec in signature.outputs}
    return [by_name[name] for name in _named_objects("outputs", asked, signature.outputs)]


def _named_objects(
    field: str, items: object, specs: Sequence[TensorSpec]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return by name where each object of a list stands, and the object."""
    if not isinstance(items, list):
        raise InvalidRequest(f"{field} must be a list")
    known = {spec.name for spec in specs}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for i, item in enumerate(items):
        where = f"{field}[{i}]"
        name = _object(where, item).get("name")
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(
                f"{where}.name {brief(name)} is none of {', '.join(map(repr, sorted(known)))}"
            )
        if name in found:
            raise InvalidRequest(f"{where}.name {name!r} is there twice")
        _refuse_unsupported(f"{where}.parameters", item, _PLACE | _RANKING)
        found[name] = (where, item)
    return found


def _refuse_unsupported(field: str, holder: dict[str, Any], names: frozenset[str]) -> None:
    parameters = holder.get("parameters")
    if parameters is not None:
        for name in sorted(names & _object(field, parameters).keys()):
            raise InvalidRequest(f"{field}.{name} is not supported")


def _object(field: str, item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InvalidRequest(f"{field} must be a JSON object")
    return item
