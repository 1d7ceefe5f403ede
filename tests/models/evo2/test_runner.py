"""The runner gives each sequence what it gets alone, whatever runs beside it or goes wrong."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from primase_server.errors import PrecisionUnverified
from primase_server.models.card import WeightsSource
from primase_server.models.evo2.model import Observer
from primase_server.models.evo2.passes import (
    Carry,
    Evo2Output,
    Evo2Pass,
    Read,
    ReadOutput,
    ScoreOptions,
)
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.evo2.state import SequenceState
from primase_server.models.evo2.tokens import tokenize
from primase_server.models.evo2.weights import load
from primase_server.models.given_weights import FixtureWeights
from tests.models.evo2.items import dna, runner

LENGTHS = (200, 3, 64, 1, 64, 130)
SCORE = ScoreOptions(log_probs=True, entropies=True, bases=True, num_alternatives=2)


def reads(*lengths: int, carry: Carry | None = None, **wanted: Any) -> Iterator[Read]:
    """Chunks of those lengths of one sequence."""
    carry = carry or Carry()
    token_ids = tokenize(dna(sum(lengths), seed=lengths[0]))
    start = 0
    for number, length in enumerate(lengths):
        is_last = number == len(lengths) - 1
        yield Read(carry, token_ids[start : start + length], is_last=is_last, **wanted)
        start += length


def outputs(*passes: Evo2Pass, by: Evo2Runner | None = None) -> list[Evo2Output]:
    return (by or runner()).run(passes)


def assert_same(one: ReadOutput, other: ReadOutput) -> None:
    assert set(one.layers) == set(other.layers)
    for tap, rows in one.layers.items():
        np.testing.assert_allclose(rows, other.layers[tap], atol=1e-4)
    assert (one.scores is None) == (other.scores is None)
    if one.scores is not None and other.scores is not None:
        for name in ("log_probs", "entropies", "bases", "alternative_log_probs"):
            ours, theirs = getattr(one.scores, name), getattr(other.scores, name)
            np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_sequences_of_mixed_lengths_and_wants_are_each_as_alone() -> None:
    wants: list[dict[str, Any]] = [
        {"score": SCORE},
        {"taps": ("norm", "unembed")},
        {"taps": ("blocks.3", "embedding_layer")},
        {"score": ScoreOptions(log_probs=True)},
        {"taps": ("blocks.3.mlp.l1",)},
        {"taps": ("embedding_layer",)},
    ]

    def made() -> list[Evo2Pass]:
        pairs = zip(LENGTHS, wants, strict=True)
        return [Evo2Pass(tuple(reads(length, **wanted))) for length, wanted in pairs]

    together = outputs(*made())
    alone = [outputs(work)[0] for work in made()]
    bundled = outputs(Evo2Pass(tuple(read for work in made() for read in work.reads)))[0]
    for index, (one, other) in enumerate(zip(together, alone, strict=True)):
        assert_same(one.reads[0], other.reads[0])
        assert_same(bundled.reads[index], other.reads[0])


def test_a_batch_of_nothing_gives_nothing() -> None:
    assert runner().run([]) == []


def test_other_payloads_are_refused() -> None:
    with pytest.raises(TypeError, match="takes Evo2Pass payloads only"):
        runner().run(["ACGT"])


def test_only_the_blocks_needed_run() -> None:
    carry = Carry()
    read = Read(carry, tokenize("ACGT"), ("blocks.1",))
    outputs(Evo2Pass((read,)))
    assert carry.state is not None
    assert carry.state.num_tokens == 4
    assert carry.state.key_values(3).num_tokens == 0


class FailingModel:
    """The fixture, failing in the middle of the extensions whose numbers are in `bad`."""

    def __init__(self, *bad: int) -> None:
        self._model = runner().model
        self._bad = bad
        self._num_calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def extend(
        self, token_ids: Sequence[Tensor], states: Sequence[SequenceState], observer: Observer
    ) -> Tensor | None:
        self._num_calls += 1
        rows = self._model.extend(token_ids, states, observer)
        if self._num_calls in self._bad:
            raise torch.OutOfMemoryError("out of memory")
        return rows


def failing(*bad: int) -> Evo2Runner:
    model: Any = FailingModel(*bad)
    return Evo2Runner(model, runner().weights)


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_after_a_failure_a_sequence_goes_on_from_where_it_was(bad: int) -> None:
    wanted: dict[str, Any] = {"taps": ("norm",), "score": SCORE}
    expected = [outputs(Evo2Pass((read,)))[0] for read in reads(100, 70, 30, **wanted)]
    by = failing(bad)
    for read, output in zip(reads(100, 70, 30, **wanted), expected, strict=True):
        try:
            [got] = outputs(Evo2Pass((read,)), by=by)
        except torch.OutOfMemoryError:
            [got] = outputs(Evo2Pass((read,)), by=by)
        assert_same(got.reads[0], output.reads[0])


def test_a_failure_moves_no_sequence_of_its_batch_on() -> None:
    """The second piece fails; the first was through."""
    one, other = (list(reads(*lengths, score=SCORE)) for lengths in ((900, 20), (800, 20)))
    by = failing(2)
    with pytest.raises(torch.OutOfMemoryError):
        outputs(Evo2Pass((one[0],)), Evo2Pass((other[0],)), by=by)
    assert one[0].carry.state is other[0].carry.state is None
    assert one[0].carry.chunks == other[0].carry.chunks == []
    for work in (one, other):
        got = [outputs(Evo2Pass((read,)), by=by)[0] for read in work]
        lengths = [len(read.token_ids) for read in work]
        alone = [outputs(Evo2Pass((read,)))[0] for read in reads(*lengths, score=SCORE)]
        for ours, theirs in zip(got, alone, strict=True):
            assert_same(ours.reads[0], theirs.reads[0])


@pytest.mark.parametrize("bad", [(), (2,), (3,)])
def test_a_fork_begins_where_its_parent_is_and_leaves_it_alone(bad: tuple[int, ...]) -> None:
    """Also where the parent moves on in the same pass, and where a step fails."""
    prefix, tail = tokenize(dna(40)), tokenize("ACGTACGT")
    by = failing(*bad)

    def run(*some: Read) -> Evo2Output:
        try:
            return outputs(Evo2Pass(some), by=by)[0]
        except torch.OutOfMemoryError:
            return outputs(Evo2Pass(some), by=by)[0]

    parent = Carry()
    run(Read(parent, prefix, score=SCORE))
    forks = [Read(Carry(parent=parent), tail[start:], score=SCORE) for start in (0, 3)]
    moved = run(*forks, Read(parent, tail, score=SCORE))
    for read, output in zip((*forks, Read(parent, tail)), moved.reads, strict=True):
        whole = np.concatenate([prefix, read.token_ids])
        [alone] = outputs(Evo2Pass((Read(Carry(), whole, score=SCORE, is_last=True),)))
        assert output.scores is not None
        assert alone.reads[0].scores is not None
        np.testing.assert_allclose(
            output.scores.log_probs, alone.reads[0].scores.log_probs[40:], atol=2e-4
        )


def test_a_fork_of_a_sequence_that_is_not_begun_is_a_new_one() -> None:
    fork = Read(Carry(parent=Carry()), tokenize("ACGT"), score=SCORE)
    [alone] = outputs(Evo2Pass((Read(Carry(), tokenize("ACGT"), score=SCORE),)))
    assert_same(outputs(Evo2Pass((fork,)))[0].reads[0], alone.reads[0])


def test_nothing_of_a_sequence_is_held_after_its_last_chunk() -> None:
    first, last = reads(50, 20, taps=("norm",), score=SCORE)
    outputs(Evo2Pass((first,)))
    carry = first.carry
    assert carry.state is not None
    state = weakref.ref(carry.state)
    outputs(Evo2Pass((last,)))
    gc.collect()
    assert state() is None
    assert carry.next_log_probs is None
    assert not carry.pools
    assert not carry.chunks


def test_short_work_runs_between_blocks() -> None:
    [long], [short] = reads(300, score=SCORE), reads(20, score=SCORE)
    found: list[Evo2Output] = []
    calls = 0

    def give_way() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            found.extend(runner().run([Evo2Pass((short,))]))

    [output] = runner().run([Evo2Pass((long,))], give_way)
    assert calls == runner().config.num_layers
    [[alone_long], [alone_short]] = (
        outputs(Evo2Pass(tuple(reads(length, score=SCORE)))) for length in (300, 20)
    )
    assert_same(output.reads[0], alone_long.reads[0])
    assert_same(found[0].reads[0], alone_short.reads[0])


def test_numbers_that_are_not_finite_are_found() -> None:
    runner().self_check()
    loaded = load(FixtureWeights())
    broken = Evo2Runner(loaded.model, loaded.weights)
    broken.model.final_norm = torch.full_like(loaded.model.final_norm, torch.inf)
    with pytest.raises(PrecisionUnverified, match="not finite"):
        broken.self_check()


def test_the_card_says_what_is_served() -> None:
    card = runner().card("evo2-demo")
    assert (card.name, card.family, card.variant) == ("evo2-demo", "evo2", "evo2_fixture")
    assert card.weights.source is WeightsSource.FIXTURE
    assert [layer.index for layer in card.layers] == list(range(len(card.layers)))
    assert {layer.name: layer.width for layer in card.layers}["blocks.3.inner_mha_cls.Wqkv"] == 192
    assert (card.dtype, card.device, card.max_sequence_tokens) == ("float32", "cpu", 1 << 20)


def bytes_of(state: SequenceState | None) -> int:
    assert state is not None
    return state.num_bytes


@pytest.mark.parametrize("num_tokens", [10, 100, 1000])
def test_the_state_has_the_bytes_said(num_tokens: int) -> None:
    carry = Carry()
    outputs(Evo2Pass((Read(carry, tokenize(dna(num_tokens)), ("norm",)),)))
    assert bytes_of(carry.state) == runner().served.state_bytes(num_tokens)
