"""A protoc plugin that writes `*_pb2_grpc.py`.

The generator for Python services lives inside the protoc of grpcio-tools, where buf cannot call it,
so this plugin hands the descriptors that buf sends on standard input to that protoc.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


class GenerationFailed(Exception):
    """The protoc of grpcio-tools ended with an error, which it wrote to standard error."""


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Return the stubs of every requested file that declares a service."""
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with_services = {file.name for file in request.proto_file if file.service}
    file_names = [name for name in request.file_to_generate if name in with_services]
    if file_names:
        for path, content in _run_protoc(FileDescriptorSet(file=request.proto_file), file_names):
            response.file.add(name=path, content=content)
    return response


def _run_protoc(descriptors: FileDescriptorSet, file_names: list[str]) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        descriptor_path = root / "descriptors.binpb"
        descriptor_path.write_bytes(descriptors.SerializeToString())
        options = [f"--descriptor_set_in={descriptor_path}", f"--grpc_python_out={root}"]
        if status := protoc.main(["protoc", *options, *file_names]):
            raise GenerationFailed(f"protoc ended with status {status}")
        stubs = sorted(root.rglob("*_pb2_grpc.py"))
        return [(path.relative_to(root).as_posix(), path.read_text()) for path in stubs]


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(request).SerializeToString())


if __name__ == "__main__":
    main()
