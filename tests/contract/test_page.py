"""docs/contract.md says everything that the protos say, and the protos say what it needs."""

import functools
import re

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from primase.reasons import REASONS
from tools import contract_page, descriptors, generate
from tools.contract_fields import DEFAULT, NUMBERS, Contract
from tools.descriptors import FIELD, MESSAGE, ROOT

PAGE = ROOT / contract_page.PAGE
TEXT = PAGE.read_text()


@functools.cache
def files() -> dict[str, FileDescriptorProto]:
    return descriptors.read(descriptors.build())


@functools.cache
def contract() -> Contract:
    return Contract(files())


def section(anchor: str) -> str:
    """What stands under the anchor, up to the next."""
    (found,) = re.findall(rf'<a id="{re.escape(anchor)}"></a>\n(.*?)(?=<a id=|\Z)', TEXT, re.DOTALL)
    return str(found)


def row(anchor: str, name: str) -> str:
    (found,) = [line for line in section(anchor).splitlines() if line.startswith(f"| `{name}` |")]
    return found


def test_it_is_that_of_the_protos() -> None:
    assert contract_page.page(contract()) == TEXT, "run `make generate`"


def test_every_call_field_value_and_reason_is_there() -> None:
    told = [file for file in files().values() if file.package not in generate.INTERNAL]
    for file in told:
        for service in file.service:
            for method in service.method:
                assert section(f"{file.package}.{service.name}.{method.name}")
        for message in file.message_type:
            for field in message.field:
                assert row(f"{file.package}.{message.name}", field.name)
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", section("primase.errors.v1"), re.M)) == {*REASONS}


def test_every_link_leads_somewhere() -> None:
    anchors = re.findall(r'<a id="(.*?)"></a>', TEXT)
    assert len({*anchors}) == len(anchors)
    assert {*re.findall(r"\]\(#(.*?)\)", TEXT)} <= {*anchors}
    for page in re.findall(r"\]\((\w+\.md)\)", TEXT):
        assert PAGE.with_name(page).exists()


def test_rows_have_as_many_cells_as_their_table() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize(
    ("message", "field", "expected"),
    [
        (
            "primase.esm2.v1.PredictRequest",
            "num_candidates",
            (
                "| `num_candidates` | optional `int32` | 5 | 0 to 20 | "
                "Most likely residues to name per mask. Unset: 5. |"
            ),
        ),
        (
            "primase.progen2.v1.GenerateItem",
            "context",
            (
                "| `context` | `string` | a protein from nothing | at most 65,536 residues, "
                "[PROGEN2_SEQUENCE](#primase.options.v1.Pattern) | "
            ),
        ),
        (
            "primase.evo2.v1.GenerateOptions",
            "sampling",
            "| `sampling` | [Sampling](#primase.type.v1.Sampling) | temperature 1.0, top_k 4 |",
        ),
        (
            "primase.esm2.v1.StreamEncodeRequest",
            "items",
            (
                "| `items` | list of [EncodeItem](#primase.esm2.v1.EncodeItem) | must be set | "
                "1 to 100,000 entries, a bad entry fails alone |"
            ),
        ),
        (
            "primase.type.v1.Sampling",
            "top_p",
            "| `top_p` | optional `float` | all | above 0 and at most 1 |",
        ),
        (
            "primase.type.v1.Sampling",
            "determinism",
            (
                "| `determinism` | [Determinism](#primase.type.v1.Determinism) | "
                "BATCH_INVARIANT where a seed is given, BEST_EFFORT where none is |"
            ),
        ),
        (
            "primase.models.v1.ModelLimits",
            "max_unary_response_bytes",
            "| `max_unary_response_bytes` | `int64` | bytes | Largest unary answer. |",
        ),
        (
            "primase.evo2.v1.StreamForwardResponse",
            "failed",
            "| `failed` | `google.rpc.Status`, one of `event` | It failed",
        ),
    ],
)
def test_a_field_is_told_whole(message: str, field: str, expected: str) -> None:
    assert row(message, field).startswith(expected)


def test_an_error_is_told_whole() -> None:
    assert row("primase.errors.v1", "QUEUE_FULL") == (
        "| `QUEUE_FULL` | `RESOURCE_EXHAUSTED` | 503 | yes | "
        "The model's queue has no room now. RetryInfo says when to try again. |"
    )


def asked_fields() -> list[tuple[str, FieldDescriptorProto, str]]:
    """Of every message that a request can hold: name, itself, comment."""
    return [
        (
            f"{message.name}.{field.name}",
            field,
            contract().comment(file, MESSAGE, number, FIELD, at),
        )
        for file in files().values()
        for number, message in enumerate(file.message_type)
        if f"{file.package}.{message.name}" in contract().asked
        for at, field in enumerate(message.field)
    ]


def test_every_optional_field_of_a_request_says_what_it_means_unset() -> None:
    silent = [
        name
        for name, field, comment in asked_fields()
        if field.proto3_optional and not DEFAULT.search(comment)
    ]
    assert silent == []


def test_every_number_of_a_request_is_bounded_below() -> None:
    unbounded = [
        name
        for name, field, _ in asked_fields()
        if descriptors.scalar(field) in NUMBERS - {"uint32", "uint64"}
        and not {"min", "greater_than"} & descriptors.rules_of(field).keys()
    ]
    assert unbounded == []
