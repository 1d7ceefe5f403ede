"""ModelService tells what ProGen2 has, and what its calls would cost."""

from typing import Any

import pytest

from primase.models.v1 import model_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.models.progen2.config import SLUGS
from primase_server.models.progen2.tokens import TOKENS
from tests.models.progen2.fixture_runner import runner
from tests.rpc.live import Live, limited, refusal, serving
from tests.rpc.progen2 import MODEL, NAME, options, request, score_request

GENERATION = [pb.ESTIMATE_OUTPUT_GENERATION]
SCORE = [pb.ESTIMATE_OUTPUT_SCORE]


def estimate(live: Live, *lengths: int, **asked: Any) -> pb.EstimateResponse:
    return live.models.Estimate(pb.EstimateRequest(model=MODEL, sequence_lengths=lengths, **asked))


def test_a_model_tells_all_of_itself(live: Live) -> None:
    model = live.models.GetModel(pb.GetModelRequest(model=MODEL)).model
    assert (model.name, model.variant) == (NAME, "progen2-fixture")
    assert set(model.aliases) == set(SLUGS) - {"progen2-fixture"}
    assert model.family == pb.MODEL_FAMILY_PROGEN2
    assert model.num_parameters == runner().config.num_parameters
    assert model.limits.max_sequence_tokens == 1024
    assert model.defaults == pb.ModelDefaults(num_new_tokens=128, temperature=0.8, top_p=0.9)
    assert model.weights.source == pb.WEIGHTS_SOURCE_DEMO
    assert not model.weights.trained
    assert tuple(model.vocabulary[:30]) == TOKENS
    assert len(model.vocabulary) == 32
    assert tuple(model.outputs) == ("generate", "score")
    assert (model.device, model.data_type) == ("cpu", tensor_pb2.DATA_TYPE_FLOAT32)
    assert model.state == pb.MODEL_STATE_READY


@pytest.mark.parametrize("slug", ["progen2-oas", "progen2-BFD90", "ProGen2-Large"])
def test_every_documented_name_is_answered_whatever_its_case(live: Live, slug: str) -> None:
    asked = request("M", options=options(1))
    asked.model = slug
    assert live.progen2.Generate(asked).samples[0].started.model == NAME


def test_what_scoring_costs(live: Live) -> None:
    told = estimate(live, 100, 1022, outputs=SCORE)
    assert told.num_tokens == 2 * 101 + 2 * 1023
    assert told.fits
    assert told.fits_unary
    assert told.max_sequence_length == 1022
    assert told.max_step_sequences == 4096 // (2 * 1023)
    assert told.weights_bytes == runner().config.num_parameters * 4
    assert told.workspace_bytes == 2 * runner().served.workspace_bytes(1023)
    answer = live.progen2.ScoreSequences(score_request("A" * 100, "A" * 1022))
    assert answer.ByteSize() <= told.response_bytes
    assert answer.usage.num_prompt_tokens == told.num_tokens
    over = estimate(live, 1023, outputs=SCORE)
    assert not over.fits
    assert "1023 residues in one protein; the limit is 1022" in over.detail
    assert over.max_step_sequences == 0


def test_what_a_generation_costs(live: Live) -> None:
    told = estimate(live, 100, 900, outputs=GENERATION, num_new_tokens=50, num_samples=3)
    assert told.num_tokens == 101 + 901 + 6 * 50
    assert told.fits
    assert told.max_sequence_length == 1023 - 50
    state_bytes = runner().served.state_bytes(951) + runner().served.state_bytes(901)
    assert told.workspace_bytes > state_bytes
    asked = options(50, num_samples=3, include_likelihood=True)
    answer = live.progen2.Generate(request("A" * 100, "A" * 900, options=asked))
    assert answer.ByteSize() <= told.response_bytes
    assert estimate(live, 100, outputs=GENERATION).num_tokens == 101 + 128
    over = estimate(live, 974, outputs=GENERATION, num_new_tokens=50)
    assert "1024 residues in one sequence; the limit is 1023" in over.detail


def test_what_a_generation_with_likelihoods_costs(live: Live) -> None:
    both = [*GENERATION, *SCORE]
    told = estimate(live, 100, 50, outputs=both, num_new_tokens=20, num_samples=3)
    generated = estimate(live, 100, 50, outputs=GENERATION, num_new_tokens=20, num_samples=3)
    assert told.num_tokens - generated.num_tokens == 3 * 2 * (121 + 71)
    assert told.max_sequence_length == generated.max_sequence_length - 1
    with serving(limited(max_queued_tokens=2 * 23)) as small:
        asked = options(20, include_likelihood=True)
        small.progen2.Generate(request("MK", options=asked))
        told = estimate(small, 2, outputs=both, num_new_tokens=20)
        assert told.fits
        assert told.num_tokens == 3 + 20 + 2 * 23
        over = estimate(small, 3, outputs=both, num_new_tokens=20)
        assert "48 queued tokens to be scored; the limit is 46" in over.detail


def test_memory_decides_how_much_is_generated_at_once() -> None:
    # half of it is for generation
    room = runner().served.state_bytes(300)
    with serving(limited(max_state_bytes=2 * room)) as live:
        longest = estimate(live, 1, outputs=GENERATION, num_new_tokens=3).max_sequence_length
        assert 297 <= longest < 1020
        assert estimate(live, longest, outputs=GENERATION, num_new_tokens=3).max_step_sequences > 0
        over = estimate(live, longest + 1, outputs=GENERATION, num_new_tokens=3)
        assert f"bytes of state; the limit is {room}" in over.detail
        live.progen2.Generate(request("A" * longest, options=options(3)))
        found = refusal(
            lambda: live.progen2.Generate(request("A" * (longest + 1), options=options(3)))
        )
        assert set(found.fields.values()) == {"SEQUENCE_TOO_LONG"}


@pytest.mark.parametrize("output", [pb.ESTIMATE_OUTPUT_MEAN, pb.ESTIMATE_OUTPUT_LOGITS])
def test_outputs_of_other_families_are_refused(live: Live, output: Any) -> None:
    refused = refusal(lambda: estimate(live, 10, outputs=[*SCORE, output]))
    assert refused.fields == {"outputs[1]": "INVALID_PARAMETER"}
    mixed = refusal(lambda: estimate(live, 10, outputs=[*GENERATION, output]))
    assert list(mixed.fields) == ["outputs"]
    assert "with SCORE or alone" in mixed.message
