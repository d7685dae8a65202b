"""The outputs that an inference request asks for, and in which form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidRequest
from service.wire.classification import can_classify
from service.wire.request_fields import (
    Parameters,
    flag,
    named_objects,
    read_parameters,
    whole_number,
)


class WantedOutput(NamedTuple):
    """One output that is asked for.

    Args:
        spec: the model's output.
        binary: whether its values come as bytes behind the JSON.
        classes: how many of the highest classes of each row come in its place; 0 for itself.
    """

    spec: TensorSpec
    binary: bool
    classes: int


def every_output(signature: Signature, *, binary: bool) -> Sequence[WantedOutput]:
    """Return all outputs, as they are."""
    return [WantedOutput(spec, binary, 0) for spec in signature.outputs]


def wanted_outputs(
    document: dict[str, Any], signature: Signature, parameters: Parameters
) -> Sequence[WantedOutput]:
    """Return the outputs that are asked for, in the order of the request.

    Args:
        document: the JSON of the request; without ``outputs`` it asks for all.
        signature: the model's.
        parameters: the request's own.

    Raises:
        InvalidRequest: ``outputs`` is no list of them, or a form is asked for that none has.
    """
    asked = document.get("outputs")
    binary = flag("", parameters, "binary_data_output", default=False)
    if not asked and (asked is None or asked == []):
        return every_output(signature, binary=binary)
    named = named_objects("outputs", asked, signature.outputs_by_name)
    return [
        _wanted_output(field, output, signature.outputs_by_name[name], binary)
        for name, (field, output) in named.items()
    ]


def _wanted_output(
    field: str, output: dict[str, Any], spec: TensorSpec, binary: bool
) -> WantedOutput:
    parameters = read_parameters(field, output)
    classes = whole_number(field, parameters, "classification")
    if classes and not can_classify(spec):
        raise InvalidRequest(
            f"{field}.parameters.classification: {spec.datatype} values have no order"
        )
    binary = flag(field, parameters, "binary_data", default=binary)
    return WantedOutput(spec, binary, classes)
