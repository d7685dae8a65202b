"""The fields that the JSON of an inference request has in more than one place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.artifact.signature import TensorSpec
from service.errors import InvalidRequest
from service.wire.tensors import brief

Parameters = Mapping[str, Any]
NamedObjects = Mapping[str, tuple[str, dict[str, Any]]]
"""By name where an object of a request stands, for the messages, and the object."""

# Parameters that change what an answer means: ignored, the client would read it wrongly. Those
# that only ask how soon, like priority, are ignored as the protocol says.
_UNSUPPORTED = ("sequence_id", "sequence_start", "sequence_end", "shared_memory_", "triton_")

# Longer than any that there is; the rest of a name is the client's invention.
_LONGEST_NAME = 40

_NONE: Parameters = MappingProxyType({})


def json_object(field: str, item: object) -> dict[str, Any]:
    """Return an item that is a JSON object.

    Raises:
        InvalidRequest: it is not.
    """
    if not isinstance(item, dict):
        raise InvalidRequest(f"{field} must be a JSON object")
    return item


def named_objects(field: str, items: object, known: Mapping[str, TensorSpec]) -> NamedObjects:
    """Return the objects of a list by their names, in its order.

    Raises:
        InvalidRequest: it is no list of objects, a name is unknown or there twice.
    """
    if not isinstance(items, list):
        raise InvalidRequest(f"{field} must be a list")
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for i, item in enumerate(items):
        where = f"{field}[{i}]"
        name = json_object(where, item).get("name")
        if type(name) is not str or name not in known:
            raise InvalidRequest(
                f"{where}.name {brief(name)} is none of {', '.join(map(repr, sorted(known)))}"
            )
        if name in found:
            raise InvalidRequest(f"{where}.name {name!r} is there twice")
        found[name] = (where, item)
    return found


def read_parameters(field: str, holder: dict[str, Any]) -> Parameters:
    """Return the parameters of a request, an input or an output.

    Args:
        field: what has them, for the messages; empty for the request.
        holder: its JSON object.

    Raises:
        InvalidRequest: no object, or one of them asks for what is not done here.
    """
    parameters = holder.get("parameters")
    if parameters is None:
        return _NONE
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"{_path(field)} must be a JSON object")
    for name in parameters:
        if name.startswith(_UNSUPPORTED):
            raise InvalidRequest(f"{_path(field)}.{name[:_LONGEST_NAME]} is not supported")
    return parameters


def flag(field: str, parameters: Parameters, name: str, *, default: bool) -> bool:
    """Return a parameter that is true or false.

    Raises:
        InvalidRequest: it is neither.
    """
    value = parameters.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequest(f"{_path(field)}.{name} must be true or false, not {brief(value)}")
    return value


def whole_number(field: str, parameters: Parameters, name: str) -> int:
    """Return a parameter that counts something; 0 if it is not there.

    Raises:
        InvalidRequest: it is no whole number of 0 or more.
    """
    value = parameters.get(name)
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise InvalidRequest(
            f"{_path(field)}.{name} must be a whole number of 0 or more, not {brief(value)}"
        )
    return value


def _path(field: str) -> str:
    return f"{field}.parameters" if field else "parameters"
