"""The description of the gRPC messages is the proto's, and the proto is the protocol's."""

import base64
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]

from service.rpc import messages
from tests.clients.conftest import Talk

RPC = Path(messages.__file__).parent
SHIPPED = RPC / messages.DESCRIPTION


@pytest.fixture(scope="module")
def said(talk: Talk) -> dict[str, bytes]:
    said = talk("proto", str(RPC / "open_inference.proto"))
    return {name: base64.b64decode(text) for name, text in said.items()}


@pytest.fixture(scope="module")
def ours() -> Any:
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(SHIPPED.read_bytes()).file
    return file


def test_what_ships_is_what_make_proto_makes(said: dict[str, bytes], ours: Any) -> None:
    (compiled,) = descriptor_pb2.FileDescriptorSet.FromString(said["compiled"]).file
    assert compiled == ours


def without_json_names(message: Any) -> Any:
    """Some compilers write down what follows from the name."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        without_json_names(nested)
    return message


def test_every_message_and_method_is_that_of_tritons_client(
    said: dict[str, bytes], ours: Any
) -> None:
    theirs = descriptor_pb2.FileDescriptorProto.FromString(said["triton"])
    known = {message.name: without_json_names(message) for message in theirs.message_type}
    for message in ours.message_type:
        assert without_json_names(message) == known[message.name]
    (service,) = ours.service
    methods = [method.SerializeToString() for method in theirs.service[0].method]
    for method in service.method:
        assert method.SerializeToString() in methods
