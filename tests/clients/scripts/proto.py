"""What a compiler and Triton's client say of the gRPC messages, for the test of ours."""

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]  # it has no types
from grpc_tools import protoc
from tritonclient.grpc import model_config_pb2, service_pb2

from tests.clients.scripts import conversation


def main() -> None:
    proto = Path(sys.argv[1])
    conversation.say({"compiled": text(compiled(proto)), "triton": text(triton())})


def compiled(proto: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        where = [f"--proto_path={proto.parent}", f"--descriptor_set_out={out}"]
        assert protoc.main(["protoc", *where, "--include_imports", proto.name]) == 0
        return out.read_bytes()


def triton() -> bytes:
    files = descriptor_pb2.FileDescriptorSet()
    for each in (model_config_pb2, service_pb2):
        each.DESCRIPTOR.CopyToProto(files.file.add())
    found: bytes = files.SerializeToString()
    return found


def text(data: Any) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
