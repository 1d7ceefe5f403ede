"""Rules declared in the protos are found, and each broken one is named with its path."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.models.v1 import model_service_pb2 as models
from primase.progen2.v1 import progen2_service_pb2 as progen2
from primase.type.v1 import generation_pb2 as generation
from primase_server.errors import Violation
from primase_server.rpc.validation import violations

IN_RANGE = "must be at least 0 and at most 100"


def encode(*sequences: str, options: esm2.EncodeOptions | None = None) -> esm2.EncodeRequest:
    items = [esm2.EncodeItem(sequence=sequence) for sequence in sequences]
    return esm2.EncodeRequest(model="esm2-8m", items=items, options=options)


def test_a_good_request_breaks_nothing() -> None:
    assert violations(encode("MSILV", "ACDEFGHIKLMNPQRSTVWYBXZUO-.")) == []


def test_a_bad_character_is_named_with_its_item_and_position() -> None:
    [broken] = violations(encode("MSILV", "MSJLV"))
    assert broken.field == "items[1].sequence"
    assert broken.description.startswith("'J' at position 2 is not one of ACDEFGHIKLMNPQRSTVWY")
    assert broken.reason == "INVALID_SEQUENCE"


def test_enum_values_of_a_newer_contract_are_refused_each_in_its_place() -> None:
    options = esm2.EncodeOptions(include=[esm2.INCLUDE_MEAN, 99], output_data_type=77)  # type: ignore[list-item, arg-type]
    assert violations(encode("MSILV", options=options)) == [
        Violation("options.include[1]", "99 is not a value that this server knows"),
        Violation("options.output_data_type", "77 is not a value that this server knows"),
    ]


@pytest.mark.parametrize("text", ["msilv", "MS LV", "MSILV\n", "MSILV*", "M<mask>V", "MSÉLV"])
def test_text_that_the_encoder_does_not_read_is_refused(text: str) -> None:
    assert [v.reason for v in violations(encode(text))] == ["INVALID_SEQUENCE"]


def test_an_unfinished_mask_is_named_where_it_begins() -> None:
    item = esm2.PredictItem(sequence="MS<mask>LV<mas")
    assert violations(item)[0].description.startswith("'<' at position 10")


def test_every_broken_rule_is_reported_at_once() -> None:
    request = encode("", "MJ", options=esm2.EncodeOptions(repr_layers=[-1, 5000]))
    request.model = "esm2/8m"
    assert violations(request) == [
        Violation("model", "'/' at position 4 is not one of letters, digits, '.', '_' and '-'"),
        Violation("items[0].sequence", "must not be empty", "INVALID_SEQUENCE"),
        violations(encode("A", "MJ"))[0],
        Violation("options.repr_layers[1]", "must be at least -1000 and at most 1000, got 5000"),
    ]


def test_too_many_and_too_few_items_are_counted() -> None:
    assert violations(encode()) == [Violation("items", "needs at least 1 entries, got 0")]
    [broken] = violations(encode(*["M"] * 1025))
    assert broken == Violation("items", "takes at most 1024 entries, got 1025", "TOO_MANY_ITEMS")


def test_a_sequence_above_the_contract_is_too_long() -> None:
    [broken] = violations(encode("M" * 65537))
    assert broken.reason == "SEQUENCE_TOO_LONG"
    assert broken.description == "takes at most 65536 residues, got 65537"


def test_items_of_a_stream_are_left_to_be_judged_one_by_one() -> None:
    items = [esm2.EncodeItem(sequence="MJ")]
    request = esm2.StreamEncodeRequest(model="esm2-8m", items=items)
    assert violations(request) == []
    assert violations(request.items[0])[0].field == "sequence"


@pytest.mark.parametrize(
    ("sampling", "broken"),
    [
        (generation.Sampling(temperature=-0.5), f"temperature: {IN_RANGE}, got -0.5"),
        (generation.Sampling(temperature=math.nan), f"temperature: {IN_RANGE}, got nan"),
        (generation.Sampling(temperature=math.inf), f"temperature: {IN_RANGE}, got inf"),
        (generation.Sampling(top_p=0.0), "top_p: must be greater than 0 and at most 1, got 0"),
        (generation.Sampling(top_k=-1), "top_k: must be at least 0 and at most 51200, got -1"),
    ],
)
def test_numbers_keep_to_their_bounds(sampling: generation.Sampling, broken: str) -> None:
    assert [f"{v.field}: {v.description}" for v in violations(sampling)] == [broken]


def test_an_optional_number_that_is_not_set_is_not_judged() -> None:
    assert violations(generation.Sampling()) == []
    assert violations(evo2.GenerateOptions(num_tokens=0))[0].field == "num_tokens"


def test_a_required_message_must_be_there() -> None:
    request = evo2.ForwardRequest(model="evo2-7b", items=[evo2.ForwardItem(sequence="ACGT")])
    assert violations(request) == [Violation("options", "must be set")]


def test_numbers_in_a_list_are_judged_one_by_one() -> None:
    request = models.EstimateRequest(model="esm2-8m", sequence_lengths=[5, 0])
    assert [v.field for v in violations(request)] == ["sequence_lengths[1]"]


@pytest.mark.parametrize(
    ("message", "bad"),
    [
        (progen2.GenerateItem(context=""), None),
        (progen2.GenerateItem(context="MKJ"), "context"),
        (progen2.GenerateItem(context="mk"), "context"),
        (evo2.GenerateItem(prompt="|D__BACTERIA;|acgtN"), None),
        (evo2.GenerateItem(prompt=">a\tb\r\nACGT\n"), None),
        (evo2.GenerateItem(prompt="ACGT\v"), "prompt"),
        (evo2.GenerateItem(prompt="ACGé"), "prompt"),
    ],
)
def test_each_family_has_its_alphabet(message: evo2.GenerateItem, bad: str | None) -> None:
    assert [v.field for v in violations(message)] == ([bad] if bad else [])


@given(st.text())
def test_any_text_is_judged_and_the_named_position_is_the_first_bad_one(text: str) -> None:
    try:
        item = esm2.EncodeItem(sequence=text)
    except UnicodeEncodeError:
        return  # lone surrogates are no text to protobuf
    bad = [i for i, letter in enumerate(text) if letter not in "ACDEFGHIKLMNPQRSTVWYBXZUO-."]
    found = violations(item)
    assert bool(found) == (bool(bad) or not text)
    if bad:
        assert f"at position {bad[0]} " in found[0].description
