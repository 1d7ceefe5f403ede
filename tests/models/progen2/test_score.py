"""Scores are those of upstream's `likelihood.py`, in float64 and on the whole string."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from primase_server.errors import InvalidSequence, SequenceTooLong
from primase_server.models.progen2.score import ProteinScore, ScoreItem
from primase_server.models.progen2.tokens import TOKENS
from tests.models.progen2.fixture_runner import runner

LETTER_COLUMNS = slice(5, 30)
LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
PROTEINS = (UBIQUITIN, "M", LETTERS, "MA" + "S" * 172)


def scored(sequence: str, *, per_residue: bool = True) -> ProteinScore:
    item = ScoreItem.build(runner().served, sequence, per_residue=per_residue)
    return item.finish(runner().run([*item.passes()]))


@torch.inference_mode()
def logits_and_targets(text: str) -> tuple[NDArray[np.float64], list[int]]:
    """Logits that predict every token but the first: all text is read, the last logit dropped."""
    ids = [TOKENS.index(letter) for letter in text]
    logits = runner().model.logits(runner().model.whole([torch.tensor(ids)]))
    return logits[:-1].double().numpy(), ids[1:]


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def upstream_ll(text: str) -> NDArray[np.float64]:
    """Of each residue, in order of reading."""
    logits, targets = logits_and_targets(text)
    if targets[-1] in (3, 4):
        logits, targets = logits[:-1], targets[:-1]
    letters = log_softmax(logits[:, LETTER_COLUMNS])
    found: NDArray[np.float64] = letters[np.arange(len(targets)), np.array(targets) - 5]
    return found


def upstream_ce(text: str) -> float:
    logits, targets = logits_and_targets(text)
    return float(-log_softmax(logits)[np.arange(len(targets)), targets].mean())


@pytest.mark.parametrize("sequence", PROTEINS, ids=len)
def test_both_directions_are_upstreams(sequence: str) -> None:
    forward = upstream_ll(f"1{sequence}2")
    reverse = upstream_ll(f"2{sequence[::-1]}1")
    score = scored(sequence)
    assert score.num_residues == len(sequence) == len(forward)
    assert score.forward_sum == pytest.approx(forward.sum(), abs=1e-4)
    assert score.reverse_sum == pytest.approx(reverse.sum(), abs=1e-4)
    assert score.sum_log_likelihood == pytest.approx((forward.sum() + reverse.sum()) / 2, abs=1e-4)
    mean = (forward.mean() + reverse.mean()) / 2
    assert score.mean_log_likelihood == pytest.approx(mean, abs=1e-5)
    assert score.residue_perplexity == pytest.approx(np.exp(-mean), rel=1e-5)
    assert score.per_residue is not None
    np.testing.assert_allclose(score.per_residue, [forward, reverse[::-1]], atol=1e-5)


@pytest.mark.parametrize("sequence", PROTEINS, ids=len)
def test_the_cross_entropy_is_over_all_tokens_and_has_the_last_terminal(sequence: str) -> None:
    expected = upstream_ce(f"1{sequence}2")
    score = scored(sequence, per_residue=False)
    assert score.token_cross_entropy == pytest.approx(expected, abs=1e-5)
    assert score.token_perplexity == pytest.approx(np.exp(expected), rel=1e-5)
    assert score.per_residue is None


def test_renormalising_takes_the_mass_of_other_tokens_away() -> None:
    """The identity of the published description: full log p, less the log of the letters' mass."""
    logits, targets = logits_and_targets(f"1{UBIQUITIN}2")
    full = log_softmax(logits)[:-1]
    mass = np.log(np.exp(full[:, LETTER_COLUMNS]).sum(axis=1))
    identity = full[np.arange(len(full)), targets[:-1]] - mass
    assert scored(UBIQUITIN).forward_sum == pytest.approx(identity.sum(), abs=1e-4)
    assert mass.min() < -0.01  # or the test would say nothing


def test_a_reversed_protein_is_not_the_same() -> None:
    one, other = scored(UBIQUITIN), scored(UBIQUITIN[::-1])
    assert abs(one.forward_sum - other.reverse_sum) > 1e-3  # it begins at another terminal
    assert abs(one.forward_sum - one.reverse_sum) > 1e-3


def test_what_cannot_be_scored_is_refused() -> None:
    served = runner().served
    limit = served.max_residues
    assert limit == runner().config.max_tokens - 2
    assert scored("A" * limit, per_residue=False).num_residues == limit
    with pytest.raises(SequenceTooLong, match=f"has {limit + 1} residues.* at most {limit}"):
        ScoreItem.build(served, "A" * (limit + 1))
    with pytest.raises(InvalidSequence, match="must not be empty"):
        ScoreItem.build(served, "")
    for bad in ("MKJ", "mk", "M1K", "M K", "MK2"):
        with pytest.raises(InvalidSequence, match="position"):
            ScoreItem.build(served, bad)


def test_an_item_says_what_it_costs() -> None:
    item = ScoreItem.build(runner().served, UBIQUITIN, per_residue=True)
    passes = [*item.passes()]
    assert item.num_tokens == sum(work.num_tokens for work in passes) == 2 * 77
    assert item.num_result_bytes == 2 * 76 * 4
    shape = ScoreItem.of_length(runner().served, 76)
    assert (shape.num_tokens, shape.num_bytes) == (item.num_tokens, item.num_bytes)
