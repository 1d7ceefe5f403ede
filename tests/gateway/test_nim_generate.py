"""NIM's generate, by the numbers of the contract's conformance checklist where it has one."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.type.v1 import generation_pb2
from tests.gateway import scripted_generation
from tests.gateway.nim import EVERYTHING, GENERATE, GENERATE_7B, generated
from tests.gateway.scripted import Script
from tests.gateway.scripted_generation import softmax

Sampling = generation_pb2.Sampling
BATCH_INVARIANT = generation_pb2.DETERMINISM_BATCH_INVARIANT
PROMPT = "ACTGACTG"


def asked(script: Script) -> list[pb.StreamGenerateRequest]:
    return [r for r in script.requests if isinstance(r, pb.StreamGenerateRequest)]


def test_item_1_by_default(evo2: httpx.Client, evo2_script: Script) -> None:
    generated(evo2, PROMPT)
    assert asked(evo2_script) == [
        pb.StreamGenerateRequest(
            model="evo2-7b",
            items=[pb.GenerateItem(prompt=PROMPT)],
            options=pb.GenerateOptions(
                num_tokens=100,
                sampling=Sampling(temperature=0.7, top_k=3),
                report=generation_pb2.TokenReport(),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("fields", "sampling"),
    [
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"top_p": 1}, {}),
        ({"top_p": "0.0"}, {}),
        ({"top_p": 1e-60}, {"top_p": 1e-37}),
        ({"top_k": 0}, {"top_k": 0}),
        ({"top_k": 1}, {"top_k": 1, "determinism": BATCH_INVARIANT}),
        ({"top_k": "6"}, {"top_k": 6}),
        ({"temperature": 1.3}, {"temperature": 1.3}),
        ({"temperature": "1"}, {"temperature": 1}),
        ({"random_seed": 0}, {"seed": 0, "determinism": BATCH_INVARIANT}),
        ({"random_seed": "7"}, {"seed": 7, "determinism": BATCH_INVARIANT}),
        ({"random_seed": 7.0}, {"seed": 7, "determinism": BATCH_INVARIANT}),
        ({"random_seed": -1}, {"seed": 2**64 - 1, "determinism": BATCH_INVARIANT}),
        ({"random_seed": -(2**63)}, {"seed": 2**63, "determinism": BATCH_INVARIANT}),
        ({"random_seed": 2**64 - 1}, {"seed": 2**64 - 1, "determinism": BATCH_INVARIANT}),
    ],
)
def test_how_tokens_are_drawn(
    evo2: httpx.Client, evo2_script: Script, fields: dict[str, Any], sampling: dict[str, Any]
) -> None:
    generated(evo2, "A", num_tokens=2, **fields)
    wanted = Sampling(**({"temperature": 0.7, "top_k": 3} | sampling))
    assert [request.options.sampling for request in asked(evo2_script)] == [wanted]


@pytest.mark.parametrize("number", [8, "8", 8.0])
@pytest.mark.parametrize("truth", [True, "yes", "true", 1])
def test_lax_numbers_and_truths(evo2: httpx.Client, number: object, truth: object) -> None:
    body = {"sequence": "A", "num_tokens": number, "enable_sampled_probs": truth}
    found = evo2.post(GENERATE, json=body).json()
    assert (len(found["sequence"]), len(found["sampled_probs"])) == (8, 8)


def test_item_8_null_is_absence(evo2: httpx.Client, evo2_script: Script) -> None:
    nullable = ("num_tokens", "temperature", "top_k", "top_p", "random_seed")
    every: list[dict[str, Any]] = [{}, *({name: None} for name in nullable)]
    for fields in (*every, dict.fromkeys(nullable)):
        generated(evo2, PROMPT, **fields)
    first, *others = asked(evo2_script)
    assert others == [first] * 6


def test_item_2_greedy_is_the_same_each_time(evo2: httpx.Client) -> None:
    answers = [
        generated(evo2, PROMPT, top_k=1, temperature=temperature)["sequence"]
        for temperature in (0.01, 0.7, 1.3)
    ]
    assert answers == answers[:1] * 3


def test_item_3_seeds(evo2: httpx.Client) -> None:
    def ask(fields: Mapping[str, Any]) -> str:
        sequence: str = generated(evo2, PROMPT, **fields)["sequence"]
        return sequence

    asked: list[dict[str, Any]] = [{"random_seed": seed} for seed in (0, 0, 7, 7)]
    asked += [{"random_seed": 7, **EVERYTHING}, {}, {}]
    with ThreadPoolExecutor(8) as pool:
        zero, again, seven, once_more, told, unseeded, another = pool.map(ask, asked)
    assert zero == again
    assert seven == once_more == told
    assert len({zero, seven, unseeded, another}) == 4


@pytest.mark.parametrize("temperature", [0.3, 1.3])
def test_item_4_logits_are_raw(evo2: httpx.Client, temperature: float) -> None:
    found = generated(evo2, PROMPT, top_k=1, temperature=temperature, num_tokens=40, **EVERYTHING)
    logits = np.array(found["logits"], np.float32)
    assert (logits == scripted_generation.logits(PROMPT, 40)).all()
    codes = np.frombuffer(found["sequence"].encode(), np.uint8)
    assert (logits.argmax(axis=1) == codes).all()
    probs = softmax(logits)[np.arange(40), codes]
    np.testing.assert_allclose(found["sampled_probs"], probs, rtol=0, atol=1e-6)
    assert (probs < 1).all()


def test_item_4_control_characters_are_told_by_their_own_id(evo2: httpx.Client) -> None:
    fields: dict[str, Any] = {"top_k": 0, "temperature": 1.3, "num_tokens": 900, "random_seed": 3}
    found = generated(evo2, PROMPT, **fields, enable_sampled_probs=True)
    assert set(found["sequence"]) > set("ACGT ")
    assert found["sequence"].isprintable()
    sampling = Sampling(temperature=1.3, top_k=0)
    rows = scripted_generation.logits(PROMPT, 900)
    token_ids = scripted_generation.drawn(rows, sampling, "3 0 0")
    probs = softmax(rows)[np.arange(900), token_ids]
    np.testing.assert_allclose(found["sampled_probs"], probs, rtol=1e-6)


def test_times_are_whole_and_add_up(evo2: httpx.Client) -> None:
    found = generated(evo2, PROMPT, num_tokens=11, enable_elapsed_ms_per_token=True)
    # 20.25 ms and ten times 0.4.
    times = found["elapsed_ms_per_token"]
    assert all(type(ms) is int for ms in times)
    assert times[0] == 20
    assert sum(times) == 24
    assert set(times[1:]) == {0, 1}


@pytest.mark.parametrize(
    "prompt", [PROMPT, "|D__ANIMALIA;P__CHORDATA_x|ACGT +~#@N", ">a\r\n\tAC\n"]
)
def test_item_6_case_is_free_and_no_character_is_dropped(
    evo2: httpx.Client, evo2_script: Script, prompt: str
) -> None:
    lower, upper = (
        generated(evo2, text, random_seed=1)["sequence"] for text in (prompt.lower(), prompt)
    )
    assert lower == upper
    assert [request.items[0].prompt for request in asked(evo2_script)] == [prompt.upper()] * 2


def test_item_7_both_ends_of_top_p_are_off(evo2: httpx.Client) -> None:
    none, zero, one = (
        generated(evo2, PROMPT, random_seed=5, top_p=top_p)["sequence"] for top_p in (None, 0, 1)
    )
    assert none == zero == one
    assert generated(evo2, PROMPT, random_seed=5, top_k=3, top_p=0.9)
    assert generated(evo2, PROMPT, random_seed=5, top_k=0, num_tokens=17)


def test_item_14_aliases_and_headers_change_nothing(evo2: httpx.Client) -> None:
    wanted = generated(evo2, "ACGT", random_seed=9)
    headers = {
        "Authorization": "Bearer nvapi-x",
        "Accept": "text/event-stream",
        "Content-Type": "text/plain",
        "NVCF-POLL-SECONDS": "300",
        "X-Request-ID": "me",
    }
    body = b'\n{\n "sequence" : "ACGT", "random_seed": 9 }\n\n'
    for path in (GENERATE, f"{GENERATE}/", GENERATE_7B, f"{GENERATE_7B}/"):
        answer = evo2.post(path, content=body, headers=headers)
        assert answer.json() | {"elapsed_ms": 0} == wanted | {"elapsed_ms": 0}
        assert answer.headers["x-request-id"] == "me"


def test_an_answer_of_many_blocks(evo2: httpx.Client) -> None:
    found = generated(evo2, PROMPT, num_tokens=300, enable_logits=True)
    logits = np.array(found["logits"], np.float32)
    assert (logits == scripted_generation.logits(PROMPT, 300)).all()


def test_the_answer_says_what_its_numbers_are_worth(
    evo2: httpx.Client, evo2_script: Script
) -> None:
    answer = evo2.post(GENERATE, json={"sequence": "A"})
    assert not [name for name in answer.headers if name.startswith("x-primase")]
    evo2_script.models["evo2-7b"].weights.source = models_pb.WEIGHTS_SOURCE_RANDOM
    evo2_script.precision = "unverified"
    answer = evo2.post(GENERATE, json={"sequence": "A"})
    assert answer.headers["x-primase-weights"] == "random"
    assert answer.headers["x-primase-precision"] == "unverified"


def test_tokens_are_counted(evo2: httpx.Client) -> None:
    def counted() -> dict[str, float]:
        lines = evo2.get("/v1/metrics").text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if line.startswith("evo2_"))
        return {name: float(number) for name, _, number in pairs}

    before = counted()
    generated(evo2, PROMPT, num_tokens=5)
    after = counted()
    for name, more in {
        "evo2_prompt_tokens_total": 8,
        "evo2_generated_tokens_total": 5,
        'evo2_requests_total{code="200",route="generate"}': 1,
    }.items():
        assert after[name] - before.get(name, 0) == more
