"""The ``parameters`` of an inference request, of its inputs and of its outputs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.errors import InvalidRequest
from service.tensors import brief

Parameters = Mapping[str, Any]

# Parameters that change what an answer means: ignored, the client would read it wrongly. Those
# that only ask how soon, like priority, are ignored as the protocol says.
_UNSUPPORTED = ("sequence_id", "sequence_start", "sequence_end", "shared_memory_", "triton_")

_NONE: Parameters = MappingProxyType({})


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
            raise InvalidRequest(f"{_path(field)}.{name} is not supported")
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
