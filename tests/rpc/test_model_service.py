"""ModelService tells what is served, and what a request would cost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.models.v1 import model_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.models.checksum import checksum
from primase_server.models.esm2.alphabet import TOKENS
from primase_server.models.esm2.weights import FIXTURE
from primase_server.settings import ModelSettings
from tests.rpc.esm2 import HEADS, MODEL, encode_request, long_protein, options, stream_request
from tests.rpc.live import SETTINGS, Live, detail, limited, refusal, serving

NAMES = ("one", "three", "two", "zero")


@pytest.fixture(scope="module")
def several() -> Iterator[Live]:
    """Four models, given in no order."""
    models = tuple(ModelSettings(name, "fixture") for name in reversed(NAMES))
    with serving(replace(SETTINGS, models=models)) as running:
        yield running


def get_model(live: Live, name: str = MODEL) -> pb.Model:
    return live.models.GetModel(pb.GetModelRequest(model=name)).model


# ListModels


@pytest.mark.parametrize("page_size", [0, 1, 2, 3, 4, 1000])
def test_pages_hold_every_model_once_in_order(several: Live, page_size: int) -> None:
    names: list[str] = []
    token = ""
    while True:
        request = pb.ListModelsRequest(page_size=page_size, page_token=token)
        page = several.models.ListModels(request)
        assert 1 <= len(page.models) <= (page_size or 100)
        names += [model.name for model in page.models]
        token = page.next_page_token
        if not token:
            break
    assert names == list(NAMES)


def test_a_list_leaves_out_what_is_long(several: Live) -> None:
    for model in several.models.ListModels(pb.ListModelsRequest()).models:
        assert model.state == pb.MODEL_STATE_READY
        assert not model.layers
        assert not model.vocabulary


@pytest.mark.parametrize(
    ("family", "names"),
    [
        (pb.MODEL_FAMILY_UNSPECIFIED, NAMES),
        (pb.MODEL_FAMILY_ESM2, NAMES),
        (pb.MODEL_FAMILY_EVO2, ()),
    ],
)
def test_a_list_can_be_of_one_family(
    several: Live, family: pb.ModelFamily.ValueType, names: tuple[str, ...]
) -> None:
    listed = several.models.ListModels(pb.ListModelsRequest(family=family)).models
    assert tuple(model.name for model in listed) == names


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListModelsRequest(page_size=-1), "page_size"),
        (pb.ListModelsRequest(page_size=1001), "page_size"),
        (pb.ListModelsRequest(page_token="not one of ours"), "page_token"),
        (pb.ListModelsRequest(page_token="ü"), "page_token"),
        (pb.ListModelsRequest(page_token="gICA"), "page_token"),
        (pb.ListModelsRequest(page_token="x" * 257), "page_token"),
    ],
)
def test_a_bad_list_request_names_its_field(
    several: Live, request_: pb.ListModelsRequest, field: str
) -> None:
    refused = refusal(lambda: several.models.ListModels(request_))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == {field: "INVALID_PARAMETER"}


def test_a_family_of_a_newer_contract_is_refused(several: Live) -> None:
    unknown = pb.ListModelsRequest(family=99)  # type: ignore[arg-type]
    refused = refusal(lambda: several.models.ListModels(unknown))
    assert refused.fields == {"family": "INVALID_PARAMETER"}


# GetModel


def test_a_model_tells_all_of_itself(live: Live) -> None:
    model = get_model(live)
    assert (model.name, model.variant) == ("esm2-demo", "fixture")
    assert list(model.aliases) == [
        f"esm2-{size}" for size in ("8m", "35m", "150m", "650m", "3b", "15b")
    ]
    assert model.family == pb.MODEL_FAMILY_ESM2
    assert model.num_attention_heads == 4
    assert [(la.name, la.index, la.width) for la in model.layers] == [
        (str(i), i, 32) for i in range(7)
    ]
    assert list(model.vocabulary) == list(TOKENS)
    assert model.limits == pb.ModelLimits(
        max_sequence_tokens=2050,
        max_queued_tokens=1 << 28,
        max_batch_tokens=4096,
        max_unary_response_bytes=(4 << 20) - (64 << 10),
    )
    assert list(model.defaults.repr_layers) == [-1]
    assert model.weights == pb.Weights(
        source=pb.WEIGHTS_SOURCE_DEMO, checksum=checksum(weights_files()), trained=False
    )
    assert (model.device, model.data_type) == ("cpu", tensor_pb2.DATA_TYPE_FLOAT32)
    assert model.state == pb.MODEL_STATE_READY
    assert not model.state_detail
    assert set(model.outputs) == {
        "mean",
        "per_token",
        "bos",
        "contacts",
        "logits",
        "attentions",
        "attention_maps",
    }
    assert model.num_queued_tokens == 0


def weights_files() -> list[Path]:
    return [FIXTURE, FIXTURE.with_name("esm2_fixture-contact-regression.pt")]


@pytest.mark.parametrize("name", ["esm2-demo", "esm2-8m", "ESM2-3B", "Esm2-Demo"])
def test_names_and_aliases_are_found_whatever_their_case(live: Live, name: str) -> None:
    assert get_model(live, name).name == "esm2-demo"


def test_an_unknown_model_is_not_found_and_named(live: Live) -> None:
    refused = refusal(lambda: get_model(live, "esm3"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
    resource = detail(refused.status, error_details_pb2.ResourceInfo)
    assert resource is not None
    assert (resource.resource_type, resource.resource_name) == ("model", "esm3")
    assert "esm2-demo" in refused.message


@pytest.mark.parametrize("name", ["", "esm2 8m", "esm2-8m\n", "x" * 129, "ESM2–8M"])
def test_a_name_that_cannot_be_one_is_invalid(live: Live, name: str) -> None:
    assert refusal(lambda: get_model(live, name)).fields == {"model": "INVALID_PARAMETER"}


# Estimate

PLAIN = pb.EstimateRequest(model=MODEL, sequence_lengths=[100, 7, 100])


def test_an_estimate_counts_what_encode_counts(live: Live) -> None:
    estimate = live.models.Estimate(PLAIN)
    response = live.esm2.Encode(encode_request(*(long_protein(n) for n in (100, 7, 100))))
    assert estimate.num_tokens == response.usage.num_prompt_tokens == 213
    assert estimate.response_bytes == 3 * 32 * 4
    assert estimate.fits
    assert estimate.fits_unary
    assert estimate.workspace_bytes > estimate.response_bytes
    assert not estimate.detail


@pytest.mark.parametrize(
    ("estimated", "included"),
    [
        (getattr(pb, f"ESTIMATE_OUTPUT_{name}"), getattr(esm2_pb, f"INCLUDE_{name}"))
        for name in (
            "MEAN",
            "PER_TOKEN",
            "BOS",
            "CONTACTS",
            "LOGITS",
            "ATTENTIONS",
            "ATTENTION_MAPS",
        )
    ],
)
@pytest.mark.parametrize("data_type", [tensor_pb2.DATA_TYPE_FLOAT32, tensor_pb2.DATA_TYPE_BFLOAT16])
def test_the_answer_is_as_large_as_estimated(
    live: Live,
    estimated: pb.EstimateOutput.ValueType,
    included: esm2_pb.Include.ValueType,
    data_type: tensor_pb2.DataType.ValueType,
) -> None:
    request = pb.EstimateRequest(
        model=MODEL,
        sequence_lengths=[33, 50],
        outputs=[estimated],
        num_layers=3,
        num_attention_maps=len(HEADS),
        output_data_type=data_type,
    )
    wanted = options([included], layers=(0, 2, 6), heads=HEADS, data_type=data_type)
    sequences = (long_protein(33), long_protein(50))
    responses = live.esm2.StreamEncode(stream_request(*sequences, wanted=wanted))
    sent = sum(len(piece.slice.data) for r in responses for piece in r.rows.slices)
    assert live.models.Estimate(request).response_bytes == sent


def test_what_fits_and_not_one_residue_more_is_accepted() -> None:
    wanted = options([esm2_pb.INCLUDE_CONTACTS, esm2_pb.INCLUDE_PER_TOKEN])
    outputs = [pb.ESTIMATE_OUTPUT_CONTACTS, pb.ESTIMATE_OUTPUT_PER_TOKEN]
    with serving(limited(max_batch_bytes=5_000_000)) as live:

        def estimate(*lengths: int) -> pb.EstimateResponse:
            request = pb.EstimateRequest(model=MODEL, sequence_lengths=lengths, outputs=outputs)
            return live.models.Estimate(request)

        longest = estimate(1).max_sequence_length
        assert 100 < longest < 2048
        assert estimate(longest).fits
        assert not estimate(longest + 1).fits
        assert "bytes in one step" in estimate(1, longest + 1).detail
        sequences = (long_protein(longest), long_protein(longest + 1))
        answer = live.esm2.StreamEncode(stream_request(*sequences, wanted=wanted))
        *fitting, too_long = answer
        assert fitting[0].rows.num_residues == longest
        assert too_long.failed.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_the_length_limit_shows_in_an_estimate(live: Live) -> None:
    assert live.models.Estimate(PLAIN).max_sequence_length == 2048
    over = live.models.Estimate(pb.EstimateRequest(model=MODEL, sequence_lengths=[2049]))
    assert not over.fits
    assert not over.fits_unary
    assert "2049 residues" in over.detail
    assert "2048" in over.detail


@pytest.mark.parametrize(
    ("limits", "length", "expected"),
    [
        ({}, 510, 8),  # 4,096 tokens a step
        ({"max_batch_tokens": 511}, 510, 0),
        ({"max_batch_bytes": 5_000_000}, 510, None),
        ({}, 2049, 0),
    ],
)
def test_a_step_takes_as_many_sequences_as_estimated(
    limits: dict[str, int], length: int, expected: int | None
) -> None:
    with serving(limited(**limits)) as live:
        told = live.models.Estimate(pb.EstimateRequest(model=MODEL, sequence_lengths=[length]))
    most = limits.get("max_batch_bytes", 1 << 40) // told.workspace_bytes
    assert told.max_step_sequences == (most if expected is None else expected)
    assert told.weights_bytes == 78_522 * 4


def test_more_tokens_than_the_queue_holds_never_fit() -> None:
    with serving(limited(max_queued_tokens=1000)) as live:
        lengths = [98] * 10
        assert live.models.Estimate(pb.EstimateRequest(model=MODEL, sequence_lengths=lengths)).fits
        lengths.append(98)
        over = live.models.Estimate(pb.EstimateRequest(model=MODEL, sequence_lengths=lengths))
        assert not over.fits
        request = stream_request(*(long_protein(98) for _ in range(11)))
        refused = refusal(lambda: live.esm2.StreamEncode(request))
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.reason == "REQUEST_TOO_LARGE"
        assert len(list(live.esm2.StreamEncode(stream_request(*[long_protein(98)] * 10)))) == 10


@pytest.mark.parametrize("num_residues", [1010, 1012, 1014, 1018])
def test_fits_unary_says_whether_encode_answers(live: Live, num_residues: int) -> None:
    request = pb.EstimateRequest(
        model=MODEL,
        sequence_lengths=[num_residues],
        outputs=[pb.ESTIMATE_OUTPUT_CONTACTS],
    )
    encode = encode_request(long_protein(num_residues), wanted=options([esm2_pb.INCLUDE_CONTACTS]))
    if live.models.Estimate(request).fits_unary:
        assert len(live.esm2.Encode(encode).encodings) == 1
    else:
        assert refusal(lambda: live.esm2.Encode(encode)).reason == "RESPONSE_TOO_LARGE"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"sequence_lengths": []}, "sequence_lengths"),
        ({"sequence_lengths": [1, 0]}, "sequence_lengths[1]"),
        ({"sequence_lengths": [-(2**63)]}, "sequence_lengths[0]"),
        ({"num_layers": -1}, "num_layers"),
        ({"num_samples": 65}, "num_samples"),
        ({"num_new_tokens": -1}, "num_new_tokens"),
        ({"outputs": [99]}, "outputs[0]"),
        ({"output_data_type": 99}, "output_data_type"),
    ],
)
def test_a_bad_estimate_names_its_field(live: Live, changed: dict[str, object], field: str) -> None:
    fields = {"model": MODEL, "sequence_lengths": [5], **changed}
    refused = refusal(lambda: live.models.Estimate(pb.EstimateRequest(**fields)))  # type: ignore[arg-type]
    assert refused.fields == {field: "INVALID_PARAMETER"}


def test_a_very_long_estimate_is_answered_at_once(live: Live) -> None:
    lengths = np.full(100_000, 1_000_000_000).tolist()
    answer = live.models.Estimate(pb.EstimateRequest(model=MODEL, sequence_lengths=lengths))
    assert answer.num_tokens == 100_000 * 1_000_000_002
    assert not answer.fits
