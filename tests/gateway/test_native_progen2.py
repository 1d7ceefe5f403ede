"""ProGen2 over our own REST."""

import httpx
import numpy as np
import pytest
from google.protobuf import json_format

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.tensors import SliceAssembler, to_array
from primase.type.v1 import generation_pb2
from tests.gateway.events import events
from tests.gateway.scripted import Script, status
from tests.gateway.scripted_progen2 import log_likelihood, per_residue

MODEL = "/primase/v1/models/progen2-oas"
ITEMS = [{"id": "vh", "context": "EVQ"}, {}]
OPTIONS = {
    "maxNewResidues": 20,
    "numSamples": 2,
    "sampling": {"temperature": 0.5, "seed": "18446744073709551615"},
    "direction": "DIRECTION_C_TO_N",
    "includeLikelihood": True,
    "stopSequences": ["GG"],
    "alphabet": "ACDEFGHIKLMNPQRSTVWY",
}


@pytest.mark.parametrize("end", ["", "/"])
def test_generate(progen2: httpx.Client, progen2_script: Script, end: str) -> None:
    answer = progen2.post(f"{MODEL}:generate{end}", json={"items": ITEMS, "options": OPTIONS})
    done = json_format.Parse(answer.text, pb.GenerateResponse())
    places = [(sample.item_index, sample.sample_index, sample.id) for sample in done.samples]
    assert places == [(0, 0, "vh"), (0, 1, "vh"), (1, 0, ""), (1, 1, "")]
    first = done.samples[0]
    assert first.started.seed == 2**64 - 1
    assert first.finished.sequence == first.tokens.text[::-1] + "EVQ"
    assert first.finished.likelihood.sum_log_likelihood == log_likelihood("A" * 23)
    assert progen2_script.requests[-1] == pb.GenerateRequest(
        model="progen2-oas",
        items=[pb.GenerateItem(id="vh", context="EVQ"), pb.GenerateItem()],
        options=pb.GenerateOptions(
            max_new_residues=20,
            num_samples=2,
            sampling=generation_pb2.Sampling(temperature=0.5, seed=2**64 - 1),
            direction=pb.DIRECTION_C_TO_N,
            include_likelihood=True,
            stop_sequences=["GG"],
            alphabet="ACDEFGHIKLMNPQRSTVWY",
        ),
    )


def test_events(progen2: httpx.Client, progen2_script: Script) -> None:
    progen2_script.refuse_items[1] = status("INVALID_SEQUENCE", "bad")
    body = {"items": ITEMS, "options": {"maxNewResidues": 20, "sampling": {"seed": "5"}}}
    found = events(progen2.post(f"{MODEL}:streamGenerate", json=body))
    assert [event.name for event in found] == ["started", *["tokens"] * 3, "finished", "failed"]
    parsed = [json_format.Parse(event.data, pb.StreamGenerateResponse()) for event in found]
    assert [message.sequence_number for message in parsed[:-1]] == list(range(5))
    text = "".join(message.tokens.text for message in parsed)
    assert parsed[4].finished.sequence == "EVQ" + text
    assert parsed[3].tokens.resume_token == "after-27"
    assert (parsed[5].item_index, parsed[5].failed.message) == (1, "bad")


def test_a_call_that_fails_in_between(progen2: httpx.Client, progen2_script: Script) -> None:
    progen2_script.break_off_with = status("OUT_OF_MEMORY", "the device is full")
    *_, last = events(progen2.post(f"{MODEL}:streamGenerate", json={"items": ITEMS}))
    assert last.name == "error"
    assert "the device is full" in last.data


def test_score(progen2: httpx.Client) -> None:
    body = {"items": [{"id": "a", "sequence": "MSILV"}], "includePerResidue": True}
    answer = progen2.post(f"{MODEL}:score", json=body)
    (score,) = json_format.Parse(answer.text, pb.ScoreSequencesResponse()).scores
    assert (score.id, score.likelihood.num_scored_residues) == ("a", 5)
    np.testing.assert_array_equal(to_array(score.per_residue), per_residue("MSILV"))


def test_stream_score(progen2: httpx.Client) -> None:
    body = {"items": [{"sequence": "MSILV"}, {"sequence": "MK"}], "includePerResidue": True}
    answer = progen2.post(f"{MODEL}:streamScore", json=body).json()
    parsed = [json_format.ParseDict(entry, pb.StreamScoreSequencesResponse()) for entry in answer]
    assert [message.item_index for message in parsed] == [0, 0, 0, 1, 1, 1]
    values = SliceAssembler()
    for message in parsed[:2]:
        values.add(message.rows.per_residue)
    np.testing.assert_array_equal(values.array(), per_residue("MSILV"))
    assert parsed[5].score.likelihood.sum_log_likelihood == log_likelihood("MK")


@pytest.mark.parametrize("verb", ["forward", "encode", "scanVariants"])
def test_what_only_another_family_does(progen2: httpx.Client, verb: str) -> None:
    answer = progen2.post(f"{MODEL}:{verb}", json={"items": []})
    assert answer.status_code == 404
    assert answer.json()["message"] == "MODEL_FAMILY_PROGEN2 has no such call"


def test_a_body_that_is_not_in_order(progen2: httpx.Client) -> None:
    answer = progen2.post(f"{MODEL}:generate", json={"items": [{"prompt": "EVQ"}]})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
