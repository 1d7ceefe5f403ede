"""The protos as descriptors: what buf builds of them, with comments and our own options."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

# Options are read only where their definition is known when the bytes are parsed.
from primase.options.v1 import rules_pb2

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".cache/buf/node_modules/.bin/buf"
PROTOS = "protos"

# Numbers of fields in descriptor.proto, of which the path to a declaration is made.
SERVICE, METHOD, ENUM, ENUM_VALUE, MESSAGE, FIELD = 6, 2, 5, 2, 4, 2

LOWER_BOUNDS = ("min", "greater_than", "min_length", "min_items")
UPPER_BOUNDS = ("max", "max_length", "max_items")
BOUNDS = frozenset({*LOWER_BOUNDS, *UPPER_BOUNDS})

Place = tuple[int, ...]


def build(root: Path = ROOT, *options: str) -> bytes:
    """What `buf build` makes of the protos under `root`, imports included, in binary."""
    command: list[str | Path] = [BUF, "build", PROTOS, *options, "--output", "-"]
    return subprocess.run(command, cwd=root, capture_output=True, check=True).stdout


def read(image: bytes) -> dict[str, FileDescriptorProto]:
    """Our own files, by path."""
    files = FileDescriptorSet.FromString(image).file
    return {file.name: file for file in files if file.package.startswith("primase.")}


def comments(file: FileDescriptorProto) -> Mapping[Place, str]:
    """What stands before each declaration, by its path: paragraphs, of one line each."""
    return {
        tuple(location.path): "\n\n".join(_paragraphs(location.leading_comments))
        for location in file.source_code_info.location
        if location.leading_comments
    }


def scalar(field: FieldDescriptorProto) -> str:
    """Its type as protos name it, such as `int32`."""
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def rules_of(field: FieldDescriptorProto) -> dict[str, float]:
    """Its rules that are numbers and are there, by name."""
    return given(field.options.Extensions[rules_pb2.rules])


def given(rules: rules_pb2.FieldRules) -> dict[str, float]:
    """The rules that are numbers and are there, by name."""
    there = {field.name: value for field, value in rules.ListFields()}
    return {name: value for name, value in there.items() if name in BOUNDS}


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield " ".join(line.strip() for line in paragraph.splitlines())
