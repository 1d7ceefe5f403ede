"""ProGen2 of the demo server over our own REST, with a real HTTP client."""

from typing import Any

import httpx
import pytest
from google.protobuf import json_format

import primase
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.progen2_client import ProGen2
from primase.tensors import SliceAssembler, to_array
from tests.e2e.conftest import PROTEIN_MODEL
from tests.gateway.events import read_events

MODEL = f"/primase/v1/models/{PROTEIN_MODEL}"
CONTEXT = "EVQLVESGGGLVQ"
SAMPLING = {"temperature": 0.8, "topP": 0.9, "seed": "11"}
OPTIONS = {"maxNewResidues": 12, "sampling": SAMPLING, "includeLikelihood": True}


def follow(rest: httpx.Client, **body: Any) -> list[pb.StreamGenerateResponse]:
    with rest.stream("POST", f"{MODEL}:streamGenerate", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = list(read_events(answer.iter_lines()))
    found = [json_format.Parse(event.data, pb.StreamGenerateResponse()) for event in events]
    assert [event.name for event in events] == [message.WhichOneof("event") for message in found]
    return found


def test_events_are_those_of_the_unary_call(rest: httpx.Client, progen2: ProGen2) -> None:
    body = {"items": [{"id": "a", "context": CONTEXT}], "options": {**OPTIONS, "numSamples": 2}}
    answer = rest.post(f"{MODEL}:generate", json=body)
    unary = json_format.Parse(answer.text, pb.GenerateResponse())
    found = follow(rest, **body)
    sampling = primase.Sampling(0.8, top_p=0.9, seed=11)
    wanted = progen2.generate(
        CONTEXT, max_new_residues=12, likelihood=True, num_samples=2, sampling=sampling
    )
    for sample, result in zip(unary.samples, wanted, strict=True):
        own = [message for message in found if message.sample_index == sample.sample_index]
        assert [message.sequence_number for message in own] == list(range(len(own)))
        text = "".join(message.tokens.text for message in own)
        assert text == sample.tokens.text == result.value.text
        sequence = CONTEXT + text
        assert own[-1].finished.sequence == sample.finished.sequence == sequence
        assert result.value.likelihood is not None
        total = result.value.likelihood.sum_log_likelihood
        for finished in (own[-1].finished, sample.finished):
            assert finished.likelihood.sum_log_likelihood == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("direction", ["DIRECTION_N_TO_C", "DIRECTION_C_TO_N"])
def test_a_broken_stream_goes_on_even_at_its_end(rest: httpx.Client, direction: str) -> None:
    options = {**OPTIONS, "direction": direction}
    whole = follow(rest, items=[{"context": CONTEXT}], options=options)
    tokens = [message.tokens for message in whole if message.HasField("tokens")]
    for num_messages in {1, len(tokens)}:
        before = "".join(piece.text for piece in tokens[:num_messages])
        is_reverse = direction == "DIRECTION_C_TO_N"
        context = before[::-1] + CONTEXT if is_reverse else CONTEXT + before
        token = tokens[num_messages - 1].resume_token
        rest_of_it = follow(rest, items=[{"context": context}], options=options, resumeToken=token)
        after = "".join(message.tokens.text for message in rest_of_it)
        assert before + after == "".join(piece.text for piece in tokens)
        finished = rest_of_it[-1].finished
        assert finished.sequence == whole[-1].finished.sequence
        assert finished.outcome.reason == whole[-1].finished.outcome.reason
        total = whole[-1].finished.likelihood.sum_log_likelihood
        assert finished.likelihood.sum_log_likelihood == pytest.approx(total, rel=1e-5)


def test_scores_are_those_of_the_stream(rest: httpx.Client) -> None:
    body = {"items": [{"id": "a", "sequence": CONTEXT}], "includePerResidue": True}
    unary = rest.post(f"{MODEL}:score", json=body)
    (score,) = json_format.Parse(unary.text, pb.ScoreSequencesResponse()).scores
    values = SliceAssembler()
    *rows, last = (
        json_format.ParseDict(entry, pb.StreamScoreSequencesResponse())
        for entry in rest.post(f"{MODEL}:streamScore", json=body).json()
    )
    for message in rows:
        values.add(message.rows.per_residue)
    total = score.likelihood.sum_log_likelihood
    assert last.score.likelihood.sum_log_likelihood == pytest.approx(total, rel=1e-6)
    assert values.array() == pytest.approx(to_array(score.per_residue), rel=1e-5)
    assert values.array().mean(axis=0).sum() == pytest.approx(total, rel=1e-5)
