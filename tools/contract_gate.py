"""Fail when the protos would break a client of the contract that the baseline holds.

    python -m tools.contract_gate           compare with protos/baseline.binpb
    python -m tools.contract_gate --set     make the protos as they are the baseline

buf finds what changes messages or code: a field, value, call or file that is gone or is something
else. What it cannot see stands in our own options: a limit that takes less than before, an error
that is sent with another code.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from primase.options.v1 import rules_pb2
from tools import descriptors
from tools.descriptors import BUF, LOWER_BOUNDS, PROTOS, ROOT, UPPER_BOUNDS

BASELINE = Path(PROTOS) / "baseline.binpb"


def breaks(root: Path = ROOT) -> list[str]:
    """What in the protos under `root` breaks the baseline there, a line each."""
    # Our own module alone: as a workspace, an image would have to be as many as there are modules.
    command: list[str | Path] = [BUF, "breaking", PROTOS, "--exclude-imports"]
    command += ["--against", BASELINE]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found: list[str] = (ran.stdout + ran.stderr).splitlines()
    if ran.returncode and not found:
        raise subprocess.CalledProcessError(ran.returncode, command)
    before = descriptors.read((root / BASELINE).read_bytes())
    now = descriptors.read(descriptors.build(root))
    for path in sorted(before.keys() & now.keys()):
        found += _rule_breaks(before[path], now[path])
        found += _error_breaks(before[path], now[path])
    return found


def write_baseline(root: Path = ROOT) -> None:
    """Make the protos under `root` the contract that has to be kept."""
    image = descriptors.build(root, "--exclude-source-info")
    (root / BASELINE).write_bytes(image)


def _rule_breaks(before: FileDescriptorProto, now: FileDescriptorProto) -> Iterator[str]:
    old_messages = {message.name: message for message in before.message_type}
    for message in now.message_type:
        if message.name in old_messages:
            place = f"{now.package}.{message.name}"
            yield from _message_breaks(place, old_messages[message.name], message)


def _message_breaks(place: str, before: DescriptorProto, now: DescriptorProto) -> Iterator[str]:
    old_fields = {field.number: field for field in before.field}
    for field in now.field:
        rules = field.options.Extensions[rules_pb2.rules]
        if field.number in old_fields:
            old = old_fields[field.number].options.Extensions[rules_pb2.rules]
            for problem in _tightened(old, rules):
                yield f"{place}.{field.name}: {problem}"
        elif _must_be_given(field, rules):
            yield f"{place}.{field.name}: is new, and fails the calls of those who do not send it"


def _tightened(old: rules_pb2.FieldRules, new: rules_pb2.FieldRules) -> Iterator[str]:
    was, is_ = descriptors.given(old), descriptors.given(new)
    for bounds, sign in ((LOWER_BOUNDS, 1), (UPPER_BOUNDS, -1)):
        for bound in is_.keys() & {*bounds}:
            if bound not in was or sign * is_[bound] > sign * was[bound]:
                yield f"{bound} was {was.get(bound, 'nothing')} and is {is_[bound]}"
    if new.pattern and new.pattern != old.pattern:
        yield "takes other characters than before"
    if new.required and not old.required:
        yield "must be set, and had not to be"
    if old.unit and new.unit != old.unit:
        yield f"is counted in {new.unit or 'nothing'}, and was in {old.unit}"
    if old.per_item != new.per_item:
        yield "a bad entry fails the call, or alone, otherwise than before"


def _must_be_given(field: FieldDescriptorProto, rules: rules_pb2.FieldRules) -> bool:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return rules.min_items > 0
    is_message = field.type == FieldDescriptorProto.TYPE_MESSAGE
    has_presence = is_message or field.HasField("oneof_index")
    refuses_zero = (rules.HasField("greater_than") and rules.greater_than >= 0) or rules.min > 0
    return rules.required or (not has_presence and (refuses_zero or rules.min_length > 0))


def _error_breaks(before: FileDescriptorProto, now: FileDescriptorProto) -> Iterator[str]:
    sent = {value.name: _sent(value) for enum in before.enum_type for value in enum.value}
    for enum in now.enum_type:
        for value in enum.value:
            if value.name in sent and _sent(value) != sent[value.name]:
                yield f"{now.package}.{value.name}: is sent otherwise than before"


def _sent(value: EnumValueDescriptorProto) -> bytes:
    return value.options.Extensions[rules_pb2.error].SerializeToString(deterministic=True)


def main() -> None:
    if sys.argv[1:] == ["--set"]:
        write_baseline()
    elif found := breaks():
        sys.exit("\n".join(["The protos break clients of the baseline:", *found]))


if __name__ == "__main__":
    main()
