"""The gate lets through what no client minds, and nothing else."""

import shutil
from pathlib import Path

import pytest

from tests.contract.checkout import PROJECT, copied, replaced
from tools import contract_gate

ESM2 = "esm2/v1/esm2_service.proto"
EVO2 = "evo2/v1/evo2_service.proto"
GENERATION = "type/v1/generation.proto"
ERRORS = "errors/v1/error_reason.proto"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("contract"))


@pytest.fixture
def checkout(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path, dirs_exist_ok=True)


BREAKING = {
    "a field is gone": (
        ESM2,
        "  // Also return the raw logits of every position.\n  bool include_logits = 4;\n",
        "",
        'field "4" with name "include_logits" on message "PredictRequest" was deleted',
    ),
    "a field has another type": (
        ESM2,
        "double sum_log_likelihood = 2;",
        "float sum_log_likelihood = 2;",
        'changed type from "double" to "float"',
    ),
    "a field has another name": (
        ESM2,
        "double perplexity = 4;",
        "double ppl = 4;",
        'changed name from "perplexity" to "ppl"',
    ),
    "an enum value has another name": (
        GENERATION,
        "FINISH_REASON_LENGTH = 1;",
        "FINISH_REASON_FULL = 1;",
        'changed name from "FINISH_REASON_LENGTH" to "FINISH_REASON_FULL"',
    ),
    "an answer is no stream any more": (
        EVO2,
        "returns (stream StreamForwardResponse)",
        "returns (StreamForwardResponse)",
        "changed from server streaming to server unary",
    ),
    "the Java package is another": (
        ESM2,
        'java_package = "dev.primase.esm2.v1"',
        'java_package = "com.primase.esm2.v1"',
        '"java_package" changed',
    ),
    "fewer entries are taken": (
        ESM2,
        "max_items: 1024",
        "max_items: 512",
        "primase.esm2.v1.EncodeRequest.items: max_items was 1024 and is 512",
    ),
    "a bound is new": (
        EVO2,
        "bool prepend_bos = 4;",
        "bool prepend_bos = 4 [(primase.options.v1.rules) = {required: true}];",
        "primase.evo2.v1.ScoreSequencesRequest.prepend_bos: must be set, and had not to be",
    ),
    "other characters are taken": (
        ESM2,
        "pattern: PATTERN_ESM2_SEQUENCE",
        "pattern: PATTERN_ESM2_RESIDUES",
        "primase.esm2.v1.PredictItem.sequence: takes other characters than before",
    ),
    "a bad item fails the call": (
        ESM2,
        "    per_item: true\n",
        "",
        "StreamEncodeRequest.items: a bad entry fails the call, or alone, otherwise than",
    ),
    "a number has another unit": (
        "type/v1/usage.proto",
        'unit: "ms"',
        'unit: "s"',
        "primase.type.v1.Timings.queue_ms: is counted in s, and was in ms",
    ),
    "a new field has to be given": (
        ESM2,
        "  bool include_logits = 4;",
        (
            "  bool include_logits = 4;\n  // Name.\n  string name = 5 "
            "[(primase.options.v1.rules) = {min_length: 1}];"
        ),
        "primase.esm2.v1.PredictRequest.name: is new, and fails the calls",
    ),
    "an error has another code": (
        ERRORS,
        "code: NOT_FOUND",
        "code: INVALID_ARGUMENT",
        "primase.errors.v1.ERROR_REASON_UNKNOWN_MODEL: is sent otherwise than before",
    ),
}

HARMLESS = {
    "nothing": (ESM2, "service Esm2Service", "service Esm2Service"),
    "a new field": (
        ESM2,
        "  bool include_logits = 4;",
        "  bool include_logits = 4;\n  // Name.\n  string name = 5;",
    ),
    "a new call": (
        ESM2,
        "service Esm2Service {",
        "service Esm2Service {\n  // Reads.\n  rpc Read(EncodeRequest) returns (EncodeResponse);",
    ),
    "a new enum value": (
        GENERATION,
        "FINISH_REASON_LENGTH = 1;",
        "FINISH_REASON_LENGTH = 1;\n  // Tired.\n  FINISH_REASON_TIRED = 9;",
    ),
    "another comment": (ESM2, "// Scores whole sequences.", "// Scores sequences."),
    "more entries are taken": (ESM2, "max_items: 1024", "max_items: 2048"),
    "a bound is gone": (ESM2, "    min_items: 1\n", ""),
}


@pytest.mark.parametrize(("proto", "old", "new", "found"), BREAKING.values(), ids=BREAKING.keys())
def test_what_breaks_a_client_is_found(
    checkout: Path, proto: str, old: str, new: str, found: str
) -> None:
    replaced(checkout, proto, old, new)

    assert found in "\n".join(contract_gate.breaks(checkout))


@pytest.mark.parametrize(("proto", "old", "new"), HARMLESS.values(), ids=HARMLESS.keys())
def test_what_no_client_minds_passes(checkout: Path, proto: str, old: str, new: str) -> None:
    replaced(checkout, proto, old, new)

    assert contract_gate.breaks(checkout) == []


def test_a_file_that_is_gone_is_found(checkout: Path) -> None:
    (checkout / "protos" / "primase" / "progen2" / "v1" / "progen2_service.proto").unlink()

    assert 'file "primase/progen2/v1/progen2_service.proto" was deleted' in "\n".join(
        contract_gate.breaks(checkout)
    )


def test_this_checkout_breaks_nothing() -> None:
    assert contract_gate.breaks(PROJECT) == []
