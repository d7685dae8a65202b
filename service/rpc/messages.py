"""The protocol's messages, made of ``open_inference.proto`` in a descriptor pool of their own.

What ships is the compiled description and no generated code, which would be tied to one
release of protobuf. In the default pool it would also meet the clients' own package
``inference``, and two such cannot be in one process.
"""

import functools
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, NamedTuple

from google.protobuf import (  # type: ignore[import-untyped]  # the wheel has no types
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

DESCRIPTION = "open_inference.binpb"
SERVICE = "inference.GRPCInferenceService"

Message = Any
"""A message of the protocol; protobuf makes the classes while the program runs."""


class Protocol(NamedTuple):
    """The protocol's messages.

    Args:
        pool: knows them by their full names.
        messages: the classes, as attributes by their short names.
    """

    pool: Any
    messages: Any


@functools.cache
def protocol() -> Protocol:
    """Return the messages, made at the first call."""
    description = descriptor_pb2.FileDescriptorSet.FromString(
        files(__package__).joinpath(DESCRIPTION).read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    found: dict[str, Message] = {}
    for file in description.file:
        pool.Add(file)
        for message in file.message_type:
            descriptor = pool.FindMessageTypeByName(f"{file.package}.{message.name}")
            found[message.name] = message_factory.GetMessageClass(descriptor)
    return Protocol(pool, SimpleNamespace(**found))
