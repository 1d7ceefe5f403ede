"""NIM's generate of the demo server, by the numbers of the contract's conformance checklist."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e.server import Server
from tests.gateway.nim import EVERYTHING, GENERATE_7B, GENERATE_40B, arrays, ask, generated, refused
from tests.gateway.scripted_generation import softmax

DNA = "GATTACAGATTACAACGTN"
FEW: dict[str, Any] = {"num_tokens": 12}


def test_item_1_by_default(rest: httpx.Client) -> None:
    assert generated(rest, "ACTGACTG")["elapsed_ms"] > 0


def test_the_documented_call(rest: httpx.Client) -> None:
    fields = {"num_tokens": 8, "top_k": 1, "enable_sampled_probs": True}
    probs = generated(rest, "ACTGACTGACTGACTG", **dict[str, Any](fields))["sampled_probs"]
    assert all(0 <= prob <= 1 for prob in probs)


def test_item_2_greedy_is_the_same_each_time(rest: httpx.Client) -> None:
    answers = [
        generated(rest, DNA, **FEW, top_k=1, temperature=temperature)["sequence"]
        for temperature in (0.01, 1.3)
    ]
    assert answers[0] == answers[1]


def test_item_3_seeds_beside_others(server: Server) -> None:
    fields: list[dict[str, Any]] = [{"random_seed": seed} for seed in (0, 0, 7, 7)]
    fields += [{"random_seed": 7, **EVERYTHING}, {"random_seed": 7, "enable_logits": True}, {}, {}]

    def one(place: int) -> str:
        with httpx.Client(base_url=server.url, timeout=60) as rest:
            sequence: str = generated(rest, DNA, **FEW, **fields[place])["sequence"]
            return sequence

    alone = [one(place) for place in (0, 2)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert answers[:6] == [alone[0]] * 2 + [alone[1]] * 4
    assert len({*alone, *answers[6:]}) == 4


@pytest.mark.parametrize("temperature", [0.2, 1.3])
def test_item_4_logits_are_raw(rest: httpx.Client, temperature: float) -> None:
    found = generated(rest, DNA, **FEW, top_k=1, temperature=temperature, **EVERYTHING)
    logits = np.array(found["logits"], np.float32)
    assert logits.shape == (12, 512)
    best = logits.argmax(axis=1)
    text = "".join(chr(code) if 32 <= code < 127 else " " for code in best)
    assert found["sequence"] == text
    probs = softmax(logits)[np.arange(12), best]
    np.testing.assert_allclose(found["sampled_probs"], probs, rtol=0, atol=1e-4)
    assert all(type(ms) is int and ms >= 0 for ms in found["elapsed_ms_per_token"])
    assert sum(found["elapsed_ms_per_token"]) <= found["elapsed_ms"] + 1


def test_item_5_the_first_logits_are_those_of_forward(rest: httpx.Client) -> None:
    found = generated(rest, DNA, num_tokens=1, enable_logits=True)
    last = arrays(ask(rest, DNA, ["output_layer"]))["output_layer.output"][-1, 0]
    np.testing.assert_allclose(found["logits"][0], last, rtol=0, atol=2e-4)


@pytest.mark.parametrize("prompt", [DNA, "|D__ANIMALIA;P__CHORDATA_X|ACGT +~#@", ">A B\r\n\tACG\n"])
def test_item_6_case_is_free_and_other_characters_are_read(rest: httpx.Client, prompt: str) -> None:
    lower, upper = (
        generated(rest, text, num_tokens=4, random_seed=1, enable_logits=True)
        for text in (prompt.lower(), prompt)
    )
    assert lower["sequence"] == upper["sequence"]
    assert lower["logits"] == upper["logits"]


def test_item_7_how_tokens_are_kept(rest: httpx.Client) -> None:
    zero, one = (
        generated(rest, DNA, **FEW, random_seed=5, top_p=top_p)["sequence"] for top_p in (0.0, 1.0)
    )
    assert zero == one
    both = generated(rest, DNA, **FEW, random_seed=5, top_k=3, top_p=0.9, enable_logits=True)
    all_kept = generated(rest, DNA, **FEW, random_seed=5, top_k=0)
    assert len(both["sequence"]) == len(all_kept["sequence"]) == 12


def test_item_8_null_is_absence(rest: httpx.Client) -> None:
    nullable: dict[str, Any] = dict.fromkeys(("temperature", "top_k", "top_p"))
    wanted = generated(rest, DNA, **FEW, random_seed=3)["sequence"]
    assert generated(rest, DNA, **FEW, random_seed=3, **nullable)["sequence"] == wanted


def test_too_long_together(rest: httpx.Client) -> None:
    body = {"sequence": DNA, "num_tokens": 10_000_000}
    text = refused(rest.post("/biology/arc/evo2/generate", json=body))
    assert text.startswith("Maximum allowed sequence length was set to ")
    assert "10000019 tokens: 19 of the prompt and 10000000 new ones" in text


@pytest.mark.parametrize("path", [GENERATE_7B, GENERATE_40B])
def test_item_14_the_hosted_paths(rest: httpx.Client, path: str) -> None:
    wanted = generated(rest, DNA, **FEW, random_seed=9)
    headers = {"Authorization": "Bearer nvapi-x", "NVCF-POLL-SECONDS": "300"}
    answer = rest.post(path, json={"sequence": DNA, "random_seed": 9, **FEW}, headers=headers)
    assert answer.json() | {"elapsed_ms": 0} == wanted | {"elapsed_ms": 0}


def test_item_15_probes_answer_while_generation_runs(server: Server) -> None:
    def one(_: int) -> str:
        with httpx.Client(base_url=server.url, timeout=60) as rest:
            sequence: str = generated(rest, DNA, num_tokens=40)["sequence"]
            return sequence

    with ThreadPoolExecutor(8) as pool, httpx.Client(base_url=server.url, timeout=5) as probe:
        answers = [pool.submit(one, place) for place in range(8)]
        seconds = []
        while not all(answer.done() for answer in answers):
            for path in ("/v1/health/ready", "/v1/health/live"):
                probed = probe.get(path)
                assert probed.status_code == 200
                seconds.append(probed.elapsed.total_seconds())
        assert all(len(answer.result()) == 40 for answer in answers)
    assert seconds
    assert max(seconds) < 1
