"""Evo 2 under the scheduler of generation: the official tokens, and the same in any company."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from primase_server.engine.events import Tokens
from primase_server.engine.generation import Determinism, GenerationJob, Sampling, TokenReport
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.limits import EngineLimits
from primase_server.models.evo2.decoder import Decoder
from primase_server.models.evo2.generator import Evo2Generator
from primase_server.models.evo2.model import Evo2
from tests.engine.generation_toys import Reader, run_all, submit, turn
from tests.models.evo2.goldens import INTERPOLATED, golden, model
from tests.models.evo2.tiny import KEYS, ours

# One block of each kind, and one more.
FEW_BLOCKS = {
    **KEYS,
    "num_layers": 5,
    "attn_layer_idxs": [3],
    "hcl_layer_idxs": [2],
    "hcm_layer_idxs": [1],
    "hcs_layer_idxs": [0, 4],
}
NUM_TOKENS = 800
NUM_NEIGHBOURS = 31
LIMITS = EngineLimits(
    max_queued_tokens=1 << 20,
    max_queued_bytes=1 << 30,
    max_batch_tokens=2048,
    max_batch_bytes=1 << 30,
    max_pending_result_bytes=1 << 30,
)


def scheduler(network: Evo2) -> GenerationScheduler:
    return GenerationScheduler(Evo2Generator(network), LIMITS)


def work(*prompts: str, **settings: object) -> GenerationJob:
    token_ids = tuple(tuple(prompt.encode()) for prompt in prompts)
    defaults: dict[str, object] = {
        "max_new_tokens": NUM_TOKENS,
        "sampling": Sampling(1.0, 4, 1.0),
        "seed": 7,
        "determinism": Determinism.BATCH_INVARIANT,
        "allowed_tokens": frozenset(b"ACGT"),
    }
    return GenerationJob("evo2", "request", token_ids, **(defaults | settings))  # type: ignore[arg-type]


def logits(reader: Reader) -> NDArray[np.float32]:
    events = reader.events[0, 0]
    return np.array([event.logits for event in events if isinstance(event, Tokens)])


def test_greedy_continuations_are_those_of_the_official_code() -> None:
    expected = golden(INTERPOLATED, "greedy_fp32.npz")
    prompts = tuple(tuple(ids.tolist()) for ids in expected["prompt_ids"])
    planner = scheduler(model(INTERPOLATED))
    job = replace(
        work(max_new_tokens=60, sampling=Sampling(0.0), allowed_tokens=None), prompts=prompts
    )
    reader = submit(planner, job)
    run_all(planner, reader)
    for item, ids in enumerate(expected["ids_cached"]):
        assert reader.drawn(item) == tuple(ids.tolist())
    assert planner.held_bytes == 0


def test_a_seed_gives_the_same_bits_alone_and_among_changing_neighbours() -> None:
    network, chosen = ours(FEW_BLOCKS), random.Random(0)
    job = work("ACGTTGCAAC", report=TokenReport(logits=True))
    alone = scheduler(network)
    expected = submit(alone, job)
    run_all(alone, expected)
    busy = scheduler(network)
    found = submit(busy, job)
    neighbours: list[Reader] = []
    while not found.has_ended:
        neighbours = [reader for reader in neighbours if not reader.has_ended]
        while len(neighbours) < NUM_NEIGHBOURS:
            prompt = "".join(chosen.choices("ACGT", k=chosen.randint(1, 60)))
            others = work(prompt, max_new_tokens=chosen.randint(1, 300), seed=len(prompt))
            neighbours.append(submit(busy, others))
        turn(busy)
        for reader in (found, *neighbours):
            reader.read(busy)
    assert len(found.drawn()) == NUM_TOKENS
    assert found.drawn() == expected.drawn()
    assert np.array_equal(logits(found), logits(expected))


def test_samples_of_one_prompt_go_on_as_if_each_had_read_it() -> None:
    network = ours()
    planner = scheduler(network)
    several = submit(planner, work("ACGTTG" * 30, max_new_tokens=40, num_samples=3))
    run_all(planner, several)
    assert len({several.drawn(0, sample) for sample in range(3)}) == 3
    alone = submit(planner, work("ACGTTG" * 30, max_new_tokens=40))
    run_all(planner, alone)
    assert alone.drawn() == several.drawn(0, 0)


def test_a_broken_stream_goes_on_as_it_would_have() -> None:
    planner = scheduler(ours())
    whole = submit(planner, work("ACGTTG" * 30, max_new_tokens=40))
    run_all(planner, whole)
    so_far = bytes(whole.drawn()[:15]).decode()
    rest = work("ACGTTG" * 30 + so_far, max_new_tokens=25, num_drawn_before=15)
    resumed = submit(planner, rest)
    run_all(planner, resumed)
    assert resumed.drawn() == whole.drawn()[15:]


def test_a_step_that_fails_half_way_costs_nobody_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ours(FEW_BLOCKS)
    prompts = ["ACGT" * 9, "TTGACA", "G" * 21]
    report = TokenReport(logits=True)
    jobs = [
        work(prompt, max_new_tokens=24, seed=seed, report=report, num_samples=2)
        for seed, prompt in enumerate(prompts)
    ]

    def together() -> list[Reader]:
        planner = scheduler(network)
        readers = [submit(planner, job) for job in jobs]
        run_all(planner, *readers)
        assert planner.held_bytes == 0
        return readers

    expected = together()
    decode, read, num_failures = Decoder.step, Evo2Generator._read, Counter[str]()

    def decode_or_fail(decoder: Decoder, *arguments: Any) -> list[Tensor]:
        rows = decode(decoder, *arguments)  # which moves the states on
        num_failures["calls"] += 1
        if len(rows) > 2 and num_failures["calls"] % 7 == 0:
            num_failures["decode"] += 1
            raise torch.OutOfMemoryError
        return rows

    def read_or_fail(generator: Evo2Generator, reads: Any, give_way: Any) -> dict[int, Tensor]:
        rows = read(generator, reads, give_way)
        if len(reads) > 1:
            num_failures["read"] += 1
            raise torch.OutOfMemoryError
        return rows

    monkeypatch.setattr(Decoder, "step", decode_or_fail)
    monkeypatch.setattr(Evo2Generator, "_read", read_or_fail)
    found = together()
    assert num_failures["decode"] > 2
    assert num_failures["read"] > 0
    for one, other in zip(found, expected, strict=True):
        for sample in range(2):
            assert one.drawn(0, sample) == other.drawn(0, sample)
            assert len(one.drawn(0, sample)) == 24
        assert np.array_equal(logits(one), logits(other))
