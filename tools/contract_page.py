"""Write docs/contract.md from the protos: each call, field, value and error, defaults and limits.

    python -m tools.contract_page [FILE]

tools/generate.py runs it, so that the page is as fresh as the generated code.
"""

import re
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)
from google.rpc import code_pb2

from primase.options.v1 import rules_pb2
from tools import contract_fields as fields
from tools import descriptors
from tools.contract_fields import Contract
from tools.descriptors import ENUM, ENUM_VALUE, MESSAGE, METHOD, ROOT, SERVICE

PAGE = Path("docs/contract.md")
ERRORS = "primase.errors.v1"
# Services in the order in which people come for them, then what they share.
PACKAGES = ("models", "esm2", "evo2", "progen2", "admin", "screening", "type", "options")

INTRODUCTION = """\
# The contract

Written by `make generate` from the protos (`protos/primase/`), which say the same.
[versioning.md](versioning.md) tells what may change and what never does.

- A table of what is asked tells what each field means where it is not set, and what it may hold.
  What breaks that fails before any work with `INVALID_ARGUMENT`, and the field is named with its
  path, such as `items[3].sequence`.
- A limit here is what any server takes at most. What a model takes is told by
  [GetModel](#primase.models.v1.ModelService.GetModel), and its defaults too.
- A message of an answer has at most 4 MiB, which clients of all languages take by default.
- *optional*: 0 is a value, and not the same as unset. *One of*: at most one of the fields so marked
  is set.
- Positions count from 0, ranges are half-open, logarithms are natural, arrays are row-major and
  little-endian.
"""


def page(contract: Contract) -> str:
    """The whole page."""
    files = [file for name in PACKAGES for file in contract.of_package(f"primase.{name}.v1")]
    sections = [
        INTRODUCTION,
        _contents(contract, files),
        *(_file_section(contract, file) for file in files),
        _errors_section(contract),
    ]
    return "\n".join(sections)


def _parts(contract: Contract, file: FileDescriptorProto) -> list[tuple[int, DescriptorProto]]:
    """The messages that are no call's whole request or answer, with their numbers."""
    return [
        (number, message)
        for number, message in enumerate(file.message_type)
        if f"{file.package}.{message.name}" not in contract.whole
    ]


def _contents(contract: Contract, files: list[FileDescriptorProto]) -> str:
    lines = ["## Contents", ""]
    for file in files:
        lines.append(f"- [{_title(file)}](#{_file_anchor(file)})")
        for service in file.service:
            place = f"{file.package}.{service.name}"
            lines += [f"  - [{method.name}](#{place}.{method.name})" for method in service.method]
        parts = [message for _, message in _parts(contract, file)]
        names = [part.name for part in parts] + [enum.name for enum in file.enum_type]
        if names:
            links = [f"[{name}](#{file.package}.{name})" for name in names]
            lines.append(f"  - {'their parts: ' if file.service else ''}{', '.join(links)}")
    return "\n".join([*lines, f"- [Errors](#{ERRORS})", ""])


def _title(file: FileDescriptorProto) -> str:
    if file.service:
        return f"{file.service[0].name} (`{file.package}`)"
    return f"`{Path(file.name).stem}` (`{file.package}`)"


def _file_anchor(file: FileDescriptorProto) -> str:
    return f"{file.package}.{Path(file.name).stem}"


def _heading(level: int, anchor: str, text: str) -> list[str]:
    return [f'<a id="{anchor}"></a>', "", f"{'#' * level} {text}", ""]


def _file_section(contract: Contract, file: FileDescriptorProto) -> str:
    lines = _heading(2, _file_anchor(file), _title(file))
    for number, service in enumerate(file.service):
        lines += [contract.comment(file, SERVICE, number), ""]
        for index, method in enumerate(service.method):
            comment = contract.comment(file, SERVICE, number, METHOD, index)
            lines += _call(contract, file, method, comment, f"{file.package}.{service.name}")
    for number, message in _parts(contract, file):
        lines += _message(contract, file, number, message, level=3)
    for number, enum in enumerate(file.enum_type):
        lines += _enum(contract, file, number, enum)
    return "\n".join(lines)


def _call(
    contract: Contract,
    file: FileDescriptorProto,
    method: MethodDescriptorProto,
    comment: str,
    service: str,
) -> list[str]:
    stream = "a stream of " if method.server_streaming else ""
    asked, answered = contract.link(method.input_type), contract.link(method.output_type)
    lines = [
        *_heading(3, f"{service}.{method.name}", method.name),
        comment,
        "",
        f"Takes {asked}, answers with {stream}{answered}.",
        "",
    ]
    for number, message in enumerate(file.message_type):
        if f".{file.package}.{message.name}" in (method.input_type, method.output_type):
            lines += _message(contract, file, number, message, level=4)
    return lines


def _message(
    contract: Contract,
    file: FileDescriptorProto,
    number: int,
    message: DescriptorProto,
    level: int,
) -> list[str]:
    name = f"{file.package}.{message.name}"
    columns = fields.columns(contract, file, message)
    return [
        *_heading(level, name, message.name),
        contract.comment(file, MESSAGE, number),
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *(
            fields.row(contract, file, (number, index), message, columns)
            for index in range(len(message.field))
        ),
        "",
    ]


def _enum(
    contract: Contract, file: FileDescriptorProto, number: int, enum: EnumDescriptorProto
) -> list[str]:
    lines = [
        *_heading(3, f"{file.package}.{enum.name}", enum.name),
        contract.comment(file, ENUM, number),
        "",
        "| value | number | meaning |",
        "|---|---|---|",
    ]
    for index, value in enumerate(enum.value):
        comment = contract.comment(file, ENUM, number, ENUM_VALUE, index)
        lines.append(f"| `{value.name}` | {value.number} | {comment} |")
    return [*lines, ""]


def _errors_section(contract: Contract) -> str:
    (file,) = contract.of_package(ERRORS)
    (enum,) = file.enum_type
    lines = [
        *_heading(2, ERRORS, "Errors"),
        contract.comment(file, ENUM, 0),
        "",
        "*Retry*: the same request, sent again later, can succeed.",
        "",
        "| reason | gRPC code | HTTP | retry | meaning |",
        "|---|---|---|---|---|",
    ]
    for index, value in enumerate(enum.value):
        sent = value.options.Extensions[rules_pb2.error]
        name = re.sub("^ERROR_REASON_", "", value.name)
        code = code_pb2.Code.Name(sent.code)
        retry = "yes" if sent.retryable else "no"
        comment = contract.comment(file, ENUM, 0, ENUM_VALUE, index)
        lines.append(f"| `{name}` | `{code}` | {sent.http_status} | {retry} | {comment} |")
    return "\n".join([*lines, ""])


def written() -> str:
    """The page of the protos as they are."""
    return page(Contract(descriptors.read(descriptors.build())))


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written())


if __name__ == "__main__":
    main()
