"""ProGen2 under the scheduler of generation: greedy as GPT-J, and the same in any company."""

import random
from functools import cache
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
from primase_server.models import cpu_linear
from primase_server.models.given_weights import FixtureWeights
from primase_server.models.progen2.decoder import Decoder
from primase_server.models.progen2.generator import ProGen2Generator
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.tokens import LETTERS, residue_ids
from primase_server.models.progen2.weights import load
from tests.engine.generation_toys import Reader, run_all, submit, turn
from tests.models.progen2 import reference
from tests.models.progen2.tiny import ours

NUM_TOKENS = 120
NUM_GREEDY = 25
NUM_NEIGHBOURS = 31
LETTER_IDS = frozenset(range(5, 30))
LIMITS = EngineLimits(
    max_queued_tokens=1 << 20,
    max_queued_bytes=1 << 30,
    max_batch_tokens=2048,
    max_batch_bytes=1 << 30,
    max_pending_result_bytes=1 << 30,
)


@cache
def fixture(kernel: str = "plain") -> ProGen2:
    return load(FixtureWeights(), make=cpu_linear.KERNELS[kernel].make).model


def scheduler(model: ProGen2) -> GenerationScheduler:
    return GenerationScheduler(ProGen2Generator(model), LIMITS)


def work(*contexts: str, **settings: object) -> GenerationJob:
    prompts = tuple((3, *residue_ids(context)) for context in contexts)
    defaults: dict[str, object] = {
        "max_new_tokens": NUM_TOKENS,
        "sampling": Sampling(0.8, top_p=0.9),
        "seed": 7,
        "determinism": Determinism.BATCH_INVARIANT,
        "allowed_tokens": LETTER_IDS,
    }
    return GenerationJob("progen2", "request", prompts, **(defaults | settings))  # type: ignore[arg-type]


def logits(reader: Reader) -> NDArray[np.float32]:
    events = reader.events[0, 0]
    return np.array([event.logits for event in events if isinstance(event, Tokens)])


@cache
def greedy_by_gpt_j(context: str) -> tuple[int, ...]:
    ids = [3, *residue_ids(context)]
    for _ in range(NUM_GREEDY):
        ids.append(int(reference.logits(ids)[-1].argmax()))
    return tuple(ids[-NUM_GREEDY:])


@pytest.mark.parametrize("determinism", Determinism)
def test_greedy_residues_are_those_of_gpt_j(determinism: Determinism) -> None:
    model, contexts = ours(), ("", "M", "MKT", "EVQLVESGGGLVQPGG", "M", "GS" * 10, "A", "W", "Y")
    job = work(
        *contexts,
        max_new_tokens=NUM_GREEDY,
        sampling=Sampling(0.0),
        allowed_tokens=None,
        determinism=determinism,
    )
    planner = scheduler(model)
    reader = submit(planner, job)
    run_all(planner, reader)
    for item, context in enumerate(contexts):
        assert reader.drawn(item) == greedy_by_gpt_j(context)
    assert planner.held_bytes == 0


@pytest.mark.parametrize("kernel", ["prepacked", "int8"])
def test_a_seed_gives_the_same_bits_alone_and_among_changing_neighbours(kernel: str) -> None:
    model, chosen = fixture(kernel), random.Random(0)
    job = work("EVQLVE", report=TokenReport(logits=True))
    alone = scheduler(model)
    expected = submit(alone, job)
    run_all(alone, expected)
    busy = scheduler(model)
    found = submit(busy, job)
    neighbours: list[Reader] = []
    while not found.has_ended:
        neighbours = [reader for reader in neighbours if not reader.has_ended]
        while len(neighbours) < NUM_NEIGHBOURS:
            context = "".join(chosen.choices(LETTERS, k=chosen.randint(0, 60)))
            others = work(context, max_new_tokens=chosen.randint(1, 200), seed=len(neighbours))
            neighbours.append(submit(busy, others))
        turn(busy)
        for reader in (found, *neighbours):
            reader.read(busy)
    assert len(found.drawn()) == NUM_TOKENS
    assert found.drawn() == expected.drawn()
    assert np.array_equal(logits(found), logits(expected))


def test_samples_of_one_context_go_on_as_if_each_had_read_it() -> None:
    planner = scheduler(fixture())
    several = submit(planner, work("EVQLVE" * 60, max_new_tokens=40, num_samples=3))
    run_all(planner, several)
    assert len({several.drawn(0, sample) for sample in range(3)}) == 3
    alone = submit(planner, work("EVQLVE" * 60, max_new_tokens=40))
    run_all(planner, alone)
    assert alone.drawn() == several.drawn(0, 0)
    assert planner.held_bytes == 0


def test_a_broken_stream_goes_on_as_it_would_have() -> None:
    planner = scheduler(fixture())
    whole = submit(planner, work("EVQLVE", max_new_tokens=40))
    run_all(planner, whole)
    so_far = "".join(LETTERS[i - 5] for i in whole.drawn()[:15])
    resumed = submit(planner, work("EVQLVE" + so_far, max_new_tokens=25, num_drawn_before=15))
    run_all(planner, resumed)
    assert resumed.drawn() == whole.drawn()[15:]


def test_a_step_that_fails_half_way_costs_nobody_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, report = fixture("prepacked"), TokenReport(logits=True)
    contexts = ["EVQLVE" * 9, "MK", "GS" * 12, "A", "WYW", "M", "KKK", "EE"]
    jobs = [
        work(context, max_new_tokens=30, seed=seed, report=report)
        for seed, context in enumerate(contexts)
    ]

    def together() -> list[Reader]:
        planner = scheduler(model)
        readers = [submit(planner, job) for job in jobs]
        run_all(planner, *readers)
        assert planner.held_bytes == 0
        return readers

    expected = together()
    decode, num_failures = Decoder.step_alone, 0

    def decode_or_fail(decoder: Decoder, *arguments: Any) -> Tensor:
        nonlocal num_failures
        rows = decode(decoder, *arguments)  # which moves the states on
        if len(rows) == 2:
            num_failures += 1
            raise torch.OutOfMemoryError
        return rows

    monkeypatch.setattr(Decoder, "step_alone", decode_or_fail)
    for found, other in zip(together(), expected, strict=True):
        assert found.drawn() == other.drawn()
        assert len(found.drawn()) == 30
        assert np.array_equal(logits(found), logits(other))
    assert num_failures > 20


@pytest.mark.parametrize("num_tokens", [1, 16, 17, 24, 25, 100, 105, 512, 1024])
def test_a_sequence_takes_as_many_bytes_as_is_said(num_tokens: int) -> None:
    runner = ProGen2Generator(fixture())
    state = runner.new_state(num_tokens)
    assert state.stored.numel() * 4 == runner.sequence_bytes(num_tokens)
    assert num_tokens <= state.stored.shape[3] <= max(16, 1.5 * num_tokens)
    forked = runner.fork(state, num_tokens + 1)
    assert forked.stored.numel() * 4 == runner.sequence_bytes(num_tokens + 1)


def test_states_of_others_are_refused() -> None:
    runner = ProGen2Generator(fixture())
    with pytest.raises(TypeError, match="states of its own only"):
        runner.release(fixture().new_state(4))
