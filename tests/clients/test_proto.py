"""The description of the gRPC messages is the proto's, and the proto is the protocol's."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]  # it has no types

from service.rpc import messages
from tests.clients.conftest import Talk

RPC = Path(messages.__file__).parent
SHIPPED = RPC / messages.DESCRIPTION


@pytest.fixture(scope="module")
def said(talk: Talk) -> dict[str, bytes]:
    said = talk("proto", str(RPC / "open_inference.proto"))
    return {name: base64.b64decode(text) for name, text in said.items()}


def described(data: bytes) -> Any:
    return descriptor_pb2.FileDescriptorSet.FromString(data).file


def test_what_ships_is_what_make_proto_makes(said: dict[str, bytes]) -> None:
    assert described(said["compiled"]) == described(SHIPPED.read_bytes())


def fields(message: Any) -> Iterator[tuple[str, int, int, int, str]]:
    """What is on the wire: name, number, type, and whether there are several."""
    for field in message.field:
        yield (
            message.name,
            field.number,
            field.type,
            field.label,
            f"{field.name} {field.type_name}",
        )
    for nested in message.nested_type:
        yield from fields(nested)


def everything(files: Any) -> set[Any]:
    """Every field, every value of an enumeration and every method."""
    messages = [message for file in files for message in file.message_type]
    enums = [enum for file in files for enum in file.enum_type]
    enums += [enum for message in messages for enum in message.enum_type]
    services = [service for file in files for service in file.service]
    return {
        *(field for message in messages for field in fields(message)),
        *((enum.name, value.name, value.number) for enum in enums for value in enum.value),
        *(
            (service.name, method.name, method.input_type, method.output_type)
            for service in services
            for method in service.method
        ),
    }


def test_all_of_it_stands_in_tritons_client(said: dict[str, bytes]) -> None:
    ours, theirs = (
        everything(described(SHIPPED.read_bytes())),
        everything(described(said["triton"])),
    )
    assert ours - theirs == set()
    assert len(ours) > 100


def test_nothing_of_the_protocol_is_missing(said: dict[str, bytes]) -> None:
    protocol = {
        message.name
        for file in described(SHIPPED.read_bytes())
        if file.name == "open_inference.proto"
        for message in file.message_type
    }
    ours, theirs = (
        everything(described(SHIPPED.read_bytes())),
        everything(described(said["triton"])),
    )
    assert {each for each in theirs - ours if each[0] in protocol} == set()
