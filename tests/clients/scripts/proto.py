"""What a compiler and Triton's client say of the gRPC messages, for the test of ours."""

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]
from grpc_tools import protoc  # type: ignore[import-not-found]
from tritonclient.grpc import service_pb2  # type: ignore[import-not-found]

from tests.clients.scripts import conversation


def main() -> None:
    proto = Path(sys.argv[1])
    conversation.say({"compiled": text(compiled(proto)), "triton": text(triton())})


def compiled(proto: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        arguments = [f"--proto_path={proto.parent}", f"--descriptor_set_out={out}", proto.name]
        assert protoc.main(["protoc", *arguments]) == 0
        return out.read_bytes()


def triton() -> bytes:
    file = descriptor_pb2.FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(file)
    found: bytes = file.SerializeToString()
    return found


def text(data: Any) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()
