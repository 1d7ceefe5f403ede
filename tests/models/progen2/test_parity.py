"""Ours gives what transformers' GPT-J gives on the split weights, and what the formulas say."""

from functools import cache

import pytest
import torch
from torch import Tensor

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.tokens import spelled
from tests.models.progen2 import formulas, reference, running
from tests.models.progen2.running import TOLERANCE, proteins, relative_error
from tests.models.progen2.tiny import LARGE_VOCABULARY, MAIN, SHAPES, ours, state

shapes = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


@cache
def expected(config: ProGen2Config) -> list[Tensor]:
    return [reference.logits(text, config) for text in proteins()]


def worst(found: list[Tensor], config: ProGen2Config) -> float:
    pairs = zip(found, expected(config), strict=True)
    return max(relative_error(a, b[:, : a.shape[1]]) for a, b in pairs)


@shapes
def test_a_ragged_batch_gives_the_logits_of_gpt_j(config: ProGen2Config) -> None:
    assert worst(running.whole(ours(config), proteins()), config) < TOLERANCE


@shapes
def test_the_reference_gives_what_the_formulas_say(config: ProGen2Config) -> None:
    found = torch.from_numpy(formulas.logits(config, state(config), proteins()[0]))
    assert relative_error(expected(config)[0], found) < TOLERANCE
    assert relative_error(running.whole(ours(config), proteins()[:1])[0], found) < TOLERANCE


@shapes
@pytest.mark.parametrize("chunk", [1, 7, 33])
def test_chunks_give_the_same(config: ProGen2Config, chunk: int) -> None:
    assert worst(running.in_chunks(ours(config), proteins(), chunk), config) < TOLERANCE


@shapes
@pytest.mark.parametrize("num_rows", [None, 6])
def test_tokens_one_by_one_give_the_same(config: ProGen2Config, num_rows: int | None) -> None:
    found = running.decoded(ours(config), proteins(), num_rows=num_rows)
    assert worst(found, config) < TOLERANCE


def test_each_text_alone_gives_the_same() -> None:
    found = [running.whole(ours(), [text])[0] for text in proteins()]
    assert worst(found, MAIN) < TOLERANCE


def test_a_vocabulary_of_51200_rows_keeps_32() -> None:
    found = running.whole(ours(LARGE_VOCABULARY), proteins())
    assert {part.shape[1] for part in found} == {32}
    assert {part.shape[1] for part in expected(LARGE_VOCABULARY)} == {51200}
    assert worst(found, LARGE_VOCABULARY) < TOLERANCE


@torch.inference_mode()
def official_ll(config: ProGen2Config, text: tuple[int, ...]) -> float:
    """All but the last logit; the last target is a terminal; columns of the letters alone."""
    letters = reference.logits(text, config)[:-2, 5:30].double().log_softmax(1)
    targets = torch.tensor(text[1:-1]) - 5
    return float(letters[torch.arange(len(targets)), targets].sum())


@pytest.mark.parametrize("config", [*SHAPES.values(), LARGE_VOCABULARY], ids=lambda c: str(c.width))
def test_likelihoods_from_both_ends_are_those_of_the_reference(config: ProGen2Config) -> None:
    runner = ProGen2Runner(ours(config), Weights(WeightsSource.FILE))
    residues = proteins()[0][1:-1]
    item = ScoreItem.build(runner.served, spelled(residues))
    score = item.finish(runner.run([*item.passes()]))
    forward = official_ll(config, (3, *residues, 4))
    reverse = official_ll(config, (4, *reversed(residues), 3))
    assert score.forward_sum == pytest.approx(forward, rel=1e-5)
    assert score.reverse_sum == pytest.approx(reverse, rel=1e-5)
    assert score.sum_log_likelihood == pytest.approx((forward + reverse) / 2, rel=1e-5)
