"""A field of the contract as a row: its type, what it means unset, what it may hold, what it is."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)

from primase.options.v1 import rules_pb2
from tools import descriptors
from tools.descriptors import FIELD, MESSAGE, scalar

Type = FieldDescriptorProto.Type
REPEATED = FieldDescriptorProto.LABEL_REPEATED
NUMBERS = {"double", "float", "int32", "int64", "uint32", "uint64"}
# What a comment says of a field that is not there, as in `Unset: 100.`
DEFAULT = re.compile(r"\b(?:Unset|Empty|0)(?: or [^:.]+)?: (.+?)(?:;|\.(?= |$))")


class Contract:
    """All files of the contract, what is said of them, and which messages are asked for."""

    def __init__(self, files: Mapping[str, FileDescriptorProto]) -> None:
        self._files = files
        self._comments = {name: descriptors.comments(file) for name, file in files.items()}
        self._messages = {
            f"{file.package}.{message.name}": message
            for file in files.values()
            for message in file.message_type
        }
        self._enums = {
            f"{file.package}.{enum.name}": (file, number)
            for file in files.values()
            for number, enum in enumerate(file.enum_type)
        }

    def of_package(self, package: str) -> list[FileDescriptorProto]:
        """Its files, in order of name."""
        return [self._files[name] for name in sorted(self._files) if _is_in(name, package)]

    def comment(self, file: FileDescriptorProto, *place: int) -> str:
        """What stands before the declaration at that place."""
        return self._comments[file.name].get(place, "")

    def default_of_enum(self, name: str) -> str:
        """What its value 0 means; of an enum that is not ours, nothing."""
        if name not in self._enums:
            return ""
        file, number = self._enums[name]
        comment = self.comment(file, descriptors.ENUM, number, descriptors.ENUM_VALUE, 0)
        return comment.removesuffix(".")

    def link(self, type_name: str) -> str:
        """To the message or enum, by its name with a dot in front as descriptors have it."""
        name = type_name.removeprefix(".")
        short = name.rpartition(".")[2]
        ours = name in self._messages or name in self._enums
        return f"[{short}](#{name})" if ours else f"`{name}`"

    @functools.cached_property
    def whole(self) -> frozenset[str]:
        """Full names of the messages that are a call's whole request or answer."""
        return frozenset(
            name.removeprefix(".")
            for method in self._methods()
            for name in (method.input_type, method.output_type)
        )

    @functools.cached_property
    def asked(self) -> frozenset[str]:
        """Full names of the messages that a request can hold."""
        left = [method.input_type.removeprefix(".") for method in self._methods()]
        found: set[str] = set()
        while left:
            name = left.pop()
            if name not in found and name in self._messages:
                found.add(name)
                left += [field.type_name.removeprefix(".") for field in self._messages[name].field]
        return frozenset(found)

    def _methods(self) -> Iterator[MethodDescriptorProto]:
        for file in self._files.values():
            for service in file.service:
                yield from service.method


def _is_in(path: str, package: str) -> bool:
    return path.startswith(package.replace(".", "/") + "/")


def columns(contract: Contract, file: FileDescriptorProto, message: DescriptorProto) -> list[str]:
    """Of the table of a message."""
    if f"{file.package}.{message.name}" in contract.asked:
        return ["field", "type", "unset means", "may hold", "meaning"]
    if any(field.options.Extensions[rules_pb2.rules].unit for field in message.field):
        return ["field", "type", "unit", "meaning"]
    return ["field", "type", "meaning"]


def row(
    contract: Contract,
    file: FileDescriptorProto,
    numbers: tuple[int, int],
    message: DescriptorProto,
    columns: Sequence[str],
) -> str:
    """The row of the field at these numbers, of the message and in it."""
    field = message.field[numbers[1]]
    comment = contract.comment(file, MESSAGE, numbers[0], FIELD, numbers[1])
    rules = field.options.Extensions[rules_pb2.rules]
    cells = {
        "field": f"`{field.name}`",
        "type": type_of(contract, message, field),
        "unset means": unset(contract, field, comment),
        "may hold": limits(field, rules),
        "unit": rules.unit,
        "meaning": comment.replace("|", r"\|"),
    }
    return f"| {' | '.join(cells[column] for column in columns)} |"


def type_of(contract: Contract, message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """As a reader of any language says it."""
    name = contract.link(field.type_name) if field.type_name else f"`{scalar(field)}`"
    if field.label == REPEATED:
        return f"list of {name}"
    if field.proto3_optional:
        return f"optional {name}"
    if field.HasField("oneof_index"):
        return f"{name}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return name


def unset(contract: Contract, field: FieldDescriptorProto, comment: str) -> str:
    """What the field means where it is not set."""
    rules = field.options.Extensions[rules_pb2.rules]
    repeated = field.label == REPEATED
    if rules.required or rules.min_items or (rules.min_length and not repeated):
        return "must be set"
    if told := DEFAULT.search(comment):
        return told[1]
    if repeated:
        return "none"
    if field.type == Type.TYPE_ENUM:
        return contract.default_of_enum(field.type_name.removeprefix("."))
    if scalar(field) in NUMBERS:
        return "0"
    return {"bool": "no", "string": "empty"}.get(scalar(field), "its fields are unset")


def limits(field: FieldDescriptorProto, rules: rules_pb2.FieldRules) -> str:
    """What the field may hold, in words."""
    repeated = field.label == REPEATED
    each = "each " if repeated else ""
    parts = [_between(rules, "min_items", "max_items", "entries")] if repeated else []
    if scalar(field) == "string":
        length = _between(rules, "min_length", "max_length", rules.unit or "characters")
        parts.append(each + length if length else "")
    else:
        values = _between(rules, "min", "max", rules.unit)
        parts.append(each + values if values else rules.unit)
    if rules.HasField("greater_than"):
        parts[-1] = " and ".join(filter(None, [f"above {rules.greater_than:g}", parts[-1]]))
    if rules.pattern:
        name = rules_pb2.Pattern.Name(rules.pattern).removeprefix("PATTERN_")
        parts.append(f"[{name}](#primase.options.v1.Pattern)")
    if rules.per_item:
        parts.append("a bad entry fails alone")
    return ", ".join(filter(None, parts))


def _between(rules: rules_pb2.FieldRules, lower: str, upper: str, unit: str) -> str:
    bounds = descriptors.given(rules)
    low, high = (f"{bounds[n]:,.10g}" if n in bounds else "" for n in (lower, upper))
    if not low and not high:
        return ""
    span = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    return f"{span} {unit}".strip()
