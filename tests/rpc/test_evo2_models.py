"""ModelService tells what Evo 2 has, and what its calls would cost."""

from typing import Any

import pytest

from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.models.v1 import model_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.models.checksum import checksum
from primase_server.models.evo2.weights import FIXTURE
from tests.models.evo2.items import dna, runner
from tests.rpc.evo2 import MODEL, NAME, forward_options, forward_request, stream_forward_request
from tests.rpc.evo2_generation import followed, options
from tests.rpc.evo2_generation import request as generate_request
from tests.rpc.evo2_generation import stream_request as generate_stream_request
from tests.rpc.live import Live, limited, refusal, serving


def estimate(live: Live, *lengths: int, **asked: Any) -> pb.EstimateResponse:
    request = pb.EstimateRequest(model=MODEL, sequence_lengths=lengths, **asked)
    return live.models.Estimate(request)


def test_a_model_tells_all_of_itself(live: Live) -> None:
    model = live.models.GetModel(pb.GetModelRequest(model=MODEL)).model
    assert (model.name, model.variant) == (NAME, "evo2_fixture")
    assert "evo2-1b-base" in model.aliases
    assert model.family == pb.MODEL_FAMILY_EVO2
    assert model.num_attention_heads == 4
    layers = [(layer.name, layer.index, layer.width) for layer in model.layers]
    assert layers[0] == ("embedding_layer", 0, 64)
    assert layers[-1] == ("unembed", len(layers) - 1, 512)
    assert [index for _, index, _ in layers] == list(range(len(layers)))
    assert ("blocks.3.mlp.l1", 80) in [(name, width) for name, _, width in layers]
    assert model.limits == pb.ModelLimits(
        max_sequence_tokens=1 << 20,
        max_queued_tokens=1 << 28,
        max_batch_tokens=4096,
        max_unary_response_bytes=(4 << 20) - (64 << 10),
    )
    assert model.defaults == pb.ModelDefaults(
        num_new_tokens=100, temperature=1.0, top_k=4, top_p=1.0
    )
    assert model.weights == pb.Weights(
        source=pb.WEIGHTS_SOURCE_DEMO, checksum=checksum([FIXTURE]), trained=False
    )
    assert (model.device, model.data_type) == ("cpu", tensor_pb2.DATA_TYPE_FLOAT32)
    assert model.state == pb.MODEL_STATE_READY
    assert set(model.outputs) == {"generate", "layers", "score", "variants", "scan"}
    assert model.num_parameters == runner().config.num_parameters


def test_every_layer_that_is_listed_is_answered(live: Live) -> None:
    layers = live.models.GetModel(pb.GetModelRequest(model=MODEL)).model.layers
    for start in range(0, len(layers), 100):
        some = layers[start : start + 100]
        options = forward_options(
            *(layer.name for layer in some), logit_columns=evo2_pb.LOGIT_COLUMNS_ALL
        )
        [result] = live.evo2.Forward(forward_request("ACGT", options=options)).results
        found = [(value.layer, list(value.values.shape)) for value in result.layers]
        assert found == [(layer.name, [4, layer.width]) for layer in some]


@pytest.mark.parametrize(("max_bases", "most"), [(5000, 5000), (1 << 24, 1 << 20)])
def test_the_longest_sequence_is_the_models_and_the_servers(max_bases: int, most: int) -> None:
    with serving(limited(max_bases=max_bases)) as live:
        model = live.models.GetModel(pb.GetModelRequest(model=MODEL)).model
        assert model.limits.max_sequence_tokens == most
        assert estimate(live, 100).max_sequence_length == most
        over = estimate(live, most + 1)
        assert not over.fits
        assert f"{most + 1} bases in one sequence; the limit is {most}" in over.detail


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (
            {"outputs": [pb.ESTIMATE_OUTPUT_MEAN], "num_layers": 3},
            {"layers": ("blocks.22", "blocks.23", "blocks.24"), "pooling": evo2_pb.POOLING_MEAN},
        ),
        ({"outputs": [pb.ESTIMATE_OUTPUT_PER_TOKEN]}, {"layers": ("blocks.24",)}),
        (
            {
                "outputs": [pb.ESTIMATE_OUTPUT_PER_TOKEN, pb.ESTIMATE_OUTPUT_LOGITS],
                "num_layers": 2,
                "output_data_type": tensor_pb2.DATA_TYPE_BFLOAT16,
            },
            {
                "layers": ("blocks.23", "blocks.24", "unembed"),
                "logit_columns": evo2_pb.LOGIT_COLUMNS_ALL,
                "output_data_type": tensor_pb2.DATA_TYPE_BFLOAT16,
            },
        ),
    ],
)
def test_the_answer_is_as_large_as_estimated(
    live: Live, asked: dict[str, Any], options: dict[str, Any]
) -> None:
    wanted = forward_options(*options.pop("layers"), **options)
    request = stream_forward_request(dna(33), dna(1500), options=wanted)
    responses = list(live.evo2.StreamForward(request))
    sent = sum(len(piece.slice.data) for r in responses for piece in r.rows.slices)
    told = estimate(live, 33, 1500, **asked)
    assert told.response_bytes == sent
    assert told.num_tokens == 1533
    assert told.fits
    assert told.fits_unary is (sent < 4 << 20)
    assert told.workspace_bytes > 0
    assert told.weights_bytes == runner().config.num_parameters * 4


def test_scores_and_rows_are_two_calls(live: Live) -> None:
    outputs = [pb.ESTIMATE_OUTPUT_SCORE, pb.ESTIMATE_OUTPUT_MEAN]
    assert estimate(live, 100, 50, outputs=outputs[:1]).num_tokens == 150
    assert estimate(live, 100, 50, outputs=outputs).num_tokens == 300


def test_memory_decides_how_long_a_sequence_may_be() -> None:
    with serving(limited(max_state_bytes=6 << 20)) as live:  # generation has half of it
        longest = estimate(live, 1).max_sequence_length
        assert 64 < longest < 1 << 20
        assert estimate(live, longest).fits
        over = estimate(live, longest + 1)
        assert "bytes of state; the limit is 3145728" in over.detail
        assert over.max_step_sequences == 0
        options = forward_options("norm", pooling=evo2_pb.POOLING_LAST)
        request = stream_forward_request(dna(longest), dna(longest + 1), options=options)
        fits, refused = live.evo2.StreamForward(request)
        assert fits.rows.last
        assert "bytes of state" in refused.failed.message


def test_steps_take_as_many_sequences_as_memory_and_tokens_allow(live: Live) -> None:
    assert estimate(live, 2000).max_step_sequences == 4  # chunks of 1,024 in 4,096 tokens
    assert estimate(live, 100).max_step_sequences == 40


@pytest.mark.parametrize(
    "output",
    [
        pb.ESTIMATE_OUTPUT_UNSPECIFIED,
        pb.ESTIMATE_OUTPUT_BOS,
        pb.ESTIMATE_OUTPUT_CONTACTS,
        pb.ESTIMATE_OUTPUT_ATTENTIONS,
        pb.ESTIMATE_OUTPUT_ATTENTION_MAPS,
    ],
)
def test_outputs_of_other_families_are_refused(live: Live, output: Any) -> None:
    outputs = [pb.ESTIMATE_OUTPUT_MEAN, output]
    refused = refusal(lambda: estimate(live, 10, outputs=outputs))
    assert refused.fields == {"outputs[1]": "INVALID_PARAMETER"}


def test_a_very_long_estimate_is_answered_at_once(live: Live) -> None:
    answer = estimate(live, *[1_000_000_000] * 100_000)
    assert answer.num_tokens == 10**14
    assert not answer.fits


def test_what_a_generation_costs(live: Live) -> None:
    outputs = [pb.ESTIMATE_OUTPUT_GENERATION]
    told = estimate(live, 100, 2000, outputs=outputs, num_new_tokens=50, num_samples=3)
    assert told.num_tokens == 2100 + 6 * 50
    assert told.fits
    assert told.fits_unary
    assert 2000 < told.max_sequence_length <= (1 << 20) - 50
    state_bytes = runner().served.state_bytes(2050) + runner().served.state_bytes(2000)
    assert told.workspace_bytes > state_bytes
    request = generate_request("ACGT" * 25, options=options(50, num_samples=3))
    assert live.evo2.Generate(request).ByteSize() <= told.response_bytes // 2
    assert estimate(live, 100, outputs=outputs).num_tokens == 200
    mixed = [pb.ESTIMATE_OUTPUT_GENERATION, pb.ESTIMATE_OUTPUT_SCORE]
    assert list(refusal(lambda: estimate(live, 1, outputs=mixed)).fields) == ["outputs"]


def test_memory_decides_how_long_a_generated_sequence_may_be() -> None:
    with serving(limited(max_state_bytes=6 << 20)) as live:
        outputs = [pb.ESTIMATE_OUTPUT_GENERATION]
        longest = estimate(live, 1, outputs=outputs, num_new_tokens=3).max_sequence_length
        over = estimate(live, longest + 1, outputs=outputs, num_new_tokens=3)
        assert "bytes of state; the limit is 3145728" in over.detail
        assert over.max_step_sequences == 0
        prompts = (dna(longest), dna(longest + 1))
        pairs = followed(
            live.evo2.StreamGenerate(generate_stream_request(*prompts, options=options(3)))
        )
        assert pairs[0, 0].finished is not None
        assert pairs[1, 0].refusal is not None
