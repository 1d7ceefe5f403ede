"""Checks a message against the rules its own protos declare (`primase/options/v1/rules.proto`)."""

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from primase.options.v1 import rules_pb2
from primase_server.errors import Violation

PROTEIN = "ACDEFGHIKLMNPQRSTVWYBXZUO"


@dataclass(frozen=True)
class Alphabet:
    """A pattern of the contract: `allowed` matches good text, `description` tells what it is."""

    allowed: re.Pattern[str]
    description: str
    reason: str = "INVALID_SEQUENCE"

    def first_bad(self, text: str) -> int | None:
        """Position of the first character that does not belong, or None."""
        end = self.allowed.match(text).end()  # type: ignore[union-attr]  # a star always matches
        return None if end == len(text) else end


ALPHABETS = {
    rules_pb2.PATTERN_ESM2_SEQUENCE: Alphabet(
        re.compile(rf"(?:[{PROTEIN}.-]|<mask>)*"), f"{PROTEIN}-. and <mask>"
    ),
    rules_pb2.PATTERN_ESM2_RESIDUES: Alphabet(re.compile(rf"[{PROTEIN}.-]*"), f"{PROTEIN}-."),
    rules_pb2.PATTERN_EVO2_SEQUENCE: Alphabet(
        re.compile(r"[ -~\t\n\r]*"), "printable ASCII, tabs and line breaks"
    ),
    rules_pb2.PATTERN_PROGEN2_SEQUENCE: Alphabet(
        re.compile(r"[ABCDEFGHIKLMNOPQRSTUVWXYZ]*"), "ABCDEFGHIKLMNOPQRSTUVWXYZ"
    ),
    rules_pb2.PATTERN_MODEL_NAME: Alphabet(
        re.compile(r"[A-Za-z0-9._-]*"), "letters, digits, '.', '_' and '-'", "INVALID_PARAMETER"
    ),
}


def violations(message: Message, prefix: str = "") -> list[Violation]:
    """Every broken rule in `message`; entries of a `per_item` field are judged each on its own."""
    found: list[Violation] = []
    for field, rules in _checked_fields(message.DESCRIPTOR):
        found += _field_violations(message, field, rules, f"{prefix}{field.name}")
    return found


@functools.cache
def _checked_fields(
    descriptor: Descriptor,
) -> tuple[tuple[FieldDescriptor, rules_pb2.FieldRules], ...]:
    rules = ((field, field.GetOptions().Extensions[rules_pb2.rules]) for field in descriptor.fields)
    return tuple(
        (field, r) for field, r in rules if field.message_type or field.enum_type or r.ByteSize()
    )


def _field_violations(
    message: Message, field: FieldDescriptor, rules: rules_pb2.FieldRules, path: str
) -> Iterator[Violation]:
    if field.is_repeated:
        yield from _repeated_violations(getattr(message, field.name), field, rules, path)
    elif field.has_presence and not message.HasField(field.name):
        if rules.required:
            yield Violation(path, "must be set")
    elif field.message_type:
        yield from violations(getattr(message, field.name), f"{path}.")
    else:
        yield from _scalar_violations(getattr(message, field.name), field, rules, path)


def _repeated_violations(
    values: "list[object]", field: FieldDescriptor, rules: rules_pb2.FieldRules, path: str
) -> Iterator[Violation]:
    if len(values) < rules.min_items:
        yield Violation(path, f"needs at least {rules.min_items} entries, got {len(values)}")
    if rules.HasField("max_items") and len(values) > rules.max_items:
        text = f"takes at most {rules.max_items} entries, got {len(values)}"
        yield Violation(path, text, "TOO_MANY_ITEMS")
    elif not rules.per_item:
        for index, value in enumerate(values):
            if isinstance(value, Message):
                yield from violations(value, f"{path}[{index}].")
            else:
                yield from _scalar_violations(value, field, rules, f"{path}[{index}]")


def _scalar_violations(
    value: object, field: FieldDescriptor, rules: rules_pb2.FieldRules, path: str
) -> Iterator[Violation]:
    if field.enum_type:
        if value not in field.enum_type.values_by_number:
            yield Violation(path, f"{value} is not a value that this server knows")
    elif isinstance(value, str):
        yield from _text_violations(value, rules, path)
    elif isinstance(value, int | float):
        yield from _number_violations(value, rules, path)


def _number_violations(value: float, rules: rules_pb2.FieldRules, path: str) -> Iterator[Violation]:
    bounds = []
    if rules.HasField("greater_than"):
        bounds.append((value > rules.greater_than, f"greater than {rules.greater_than:g}"))
    if rules.HasField("min"):
        bounds.append((value >= rules.min, f"at least {rules.min:g}"))
    if rules.HasField("max"):
        bounds.append((value <= rules.max, f"at most {rules.max:.10g}"))
    if bounds and (math.isnan(value) or not all(good for good, _ in bounds)):
        wanted = " and ".join(text for _, text in bounds)
        yield Violation(path, f"must be {wanted}, got {value:g}")


def _text_violations(text: str, rules: rules_pb2.FieldRules, path: str) -> Iterator[Violation]:
    unit = rules.unit or "characters"
    if len(text) < rules.min_length:
        wanted = "must not be empty" if not text else f"needs at least {rules.min_length} {unit}"
        yield Violation(path, wanted, _text_reason(rules))
    elif rules.HasField("max_length") and len(text) > rules.max_length:
        reason = "SEQUENCE_TOO_LONG" if rules.unit else "INVALID_PARAMETER"
        yield Violation(path, f"takes at most {rules.max_length} {unit}, got {len(text)}", reason)
    elif alphabet := ALPHABETS.get(rules.pattern):
        position = alphabet.first_bad(text)
        if position is not None:
            bad = f"{text[position]!r} at position {position}"
            yield Violation(path, f"{bad} is not one of {alphabet.description}", alphabet.reason)


def _text_reason(rules: rules_pb2.FieldRules) -> str:
    alphabet = ALPHABETS.get(rules.pattern)
    return alphabet.reason if alphabet else "INVALID_PARAMETER"
