import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tools.protoc_gen_grpc_python import GenerationFailed, generate


def toy_file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="toy/v1/toy.proto", package="toy.v1", syntax="proto3")
    file.message_type.add(name="Toy")
    service = file.service.add(name="ToyService")
    service.method.add(
        name="StreamToy",
        input_type=".toy.v1.Toy",
        output_type=".toy.v1.Toy",
        server_streaming=True,
    )
    return file


def test_writes_stubs_of_files_with_services_only() -> None:
    plain = FileDescriptorProto(name="toy/v1/plain.proto", package="toy.v1", syntax="proto3")
    request = CodeGeneratorRequest(
        file_to_generate=["toy/v1/plain.proto", "toy/v1/toy.proto"], proto_file=[plain, toy_file()]
    )

    response = generate(request)

    assert [file.name for file in response.file] == ["toy/v1/toy_pb2_grpc.py"]
    assert "self.StreamToy = channel.unary_stream(" in response.file[0].content


def test_leaves_out_files_that_are_only_imported() -> None:
    assert not generate(CodeGeneratorRequest(proto_file=[toy_file()])).file


def test_fails_when_protoc_does() -> None:
    file = toy_file()
    file.service[0].method[0].input_type = ".toy.v1.Missing"
    request = CodeGeneratorRequest(file_to_generate=[file.name], proto_file=[file])

    with pytest.raises(GenerationFailed):
        generate(request)
