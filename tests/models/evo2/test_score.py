"""Scores are those of the official code, base by base, in whatever chunks a sequence is read."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from primase_server.errors import InvalidRequest, InvalidSequence, SequenceTooLong
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.evo2.score import BaseScores, ScoreItem, ScoreItemOptions, ScoreResult
from primase_server.models.evo2.strands import Strand
from tests.models.evo2.goldens import INTERPOLATED, folder, model
from tests.models.evo2.items import dna, log_softmax, reversed_complement, run_item, runner, served

SEQUENCE = dna(300)
CHUNKS = (1024, 299, 256, 13)
BY_STRAND = [Strand.FORWARD, Strand.REVERSE_COMPLEMENT, Strand.BOTH]


def score(
    sequence: str = SEQUENCE,
    *,
    chunk_tokens: int = 1024,
    is_streamed: bool = False,
    by: Evo2Runner | None = None,
    **wanted: Any,
) -> tuple[list[BaseScores], ScoreResult]:
    known = served(chunk_tokens)
    options = ScoreItemOptions.build(**wanted)
    return run_item(ScoreItem.build(known, sequence, options, is_streamed=is_streamed), by)


def official() -> Evo2Runner:
    return Evo2Runner(model(INTERPOLATED), runner().weights)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("chunk_tokens", [1024, 5])
def test_scores_are_those_of_the_official_code(index: int, chunk_tokens: int) -> None:
    stored = json.loads((folder(INTERPOLATED) / "scores.json").read_text())
    expected, sequence = stored["fp32"], stored["seqs"][index]
    by = official()
    for bos in (0, 1):
        _, result = score(
            sequence, prepend_bos=bool(bos), per_base=True, chunk_tokens=chunk_tokens, by=by
        )
        total, mean = (expected[f"{name}_bos{bos}_batch1"][index] for name in ("sum", "mean"))
        assert result.sum_log_likelihood == pytest.approx(total, abs=1e-3)
        assert result.mean_log_likelihood == pytest.approx(mean, abs=1e-4)
        assert result.num_scored_bases == len(sequence) - 1 + bos
        assert result.per_base is not None
        entropies = np.array(expected["entropies_batch1"][index])
        if not bos:  # theirs is of the base behind
            np.testing.assert_allclose(result.per_base.entropies[1:], entropies[:-1], atol=1e-4)
    _, both = score(sequence, strand=Strand.BOTH, chunk_tokens=chunk_tokens, by=by)
    assert both.mean_log_likelihood == pytest.approx(expected["mean_rc_batch1"][index], abs=1e-4)


def expected_rows(sequence: str, *, bos: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log p and entropy of every base, 0 where not scored, from one whole pass."""
    rows = log_softmax(sequence, bos=bos)[:-1]
    ids = list(sequence.encode())[0 if bos else 1 :]
    log_probs = rows[np.arange(len(ids)), ids]
    entropies = -(np.exp(rows) * rows).sum(axis=1)
    pad = (0 if bos else 1, 0)
    return np.pad(log_probs, pad), np.pad(entropies, pad)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("chunk_tokens", CHUNKS)
def test_values_belong_to_their_base_across_chunks(chunk_tokens: int, bos: bool) -> None:
    log_probs, entropies = expected_rows(SEQUENCE, bos=bos)
    parts, result = score(
        chunk_tokens=chunk_tokens, is_streamed=True, prepend_bos=bos, per_base=True
    )
    assert result.per_base is not None
    pieces = [*parts, result.per_base]
    assert len(pieces) == -(-(len(SEQUENCE) + bos) // chunk_tokens)
    start = 0
    for piece in pieces:
        assert piece.row_offset == start
        start += len(piece.log_probs)
    assert start == len(SEQUENCE)
    np.testing.assert_allclose(
        np.concatenate([piece.log_probs for piece in pieces]), log_probs, atol=2e-4
    )
    np.testing.assert_allclose(
        np.concatenate([piece.entropies for piece in pieces]), entropies, atol=2e-4
    )
    assert result.sum_log_likelihood == pytest.approx(log_probs.sum(), rel=1e-6)
    assert result.num_scored_bases == len(SEQUENCE) - 1 + bos
    assert result.mean_log_likelihood == pytest.approx(log_probs.sum() / result.num_scored_bases)
    assert result.perplexity == pytest.approx(np.exp(-result.mean_log_likelihood))


@pytest.mark.parametrize("chunk_tokens", [1024, 100])
def test_sums_alone_hold_no_values_per_base(chunk_tokens: int) -> None:
    parts, result = score(chunk_tokens=chunk_tokens, is_streamed=True)
    assert result.per_base is None
    assert all(len(part.log_probs) == part.num_bytes == 0 for part in parts)
    log_probs, _ = expected_rows(SEQUENCE, bos=False)
    assert result.sum_log_likelihood == pytest.approx(log_probs.sum(), rel=1e-6)


@pytest.mark.parametrize("strand", [Strand.FORWARD, Strand.REVERSE_COMPLEMENT])
@pytest.mark.parametrize("chunk_tokens", [1024, 70])
def test_alternatives_are_the_likeliest_tokens_of_the_strand_read(
    strand: Strand, chunk_tokens: int
) -> None:
    reverses = strand is Strand.REVERSE_COMPLEMENT
    read = reversed_complement(SEQUENCE) if reverses else SEQUENCE
    rows = log_softmax(read)[:-1]
    best = np.argsort(-rows, axis=1)[:, :3]
    ids = np.pad(best, ((1, 0), (0, 0)))
    values = np.pad(np.take_along_axis(rows, best, axis=1), ((1, 0), (0, 0)))
    _, result = score(strand=strand, per_base=True, num_alternatives=3, chunk_tokens=chunk_tokens)
    assert result.per_base is not None
    order = slice(None, None, -1) if reverses else slice(None)
    np.testing.assert_array_equal(result.per_base.alternative_ids, ids[order])
    assert result.per_base.alternative_ids.dtype == np.int32
    np.testing.assert_allclose(result.per_base.alternative_log_probs, values[order], atol=2e-4)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("chunk_tokens", [1024, 70])
def test_the_other_strand_is_told_base_by_base_as_given(chunk_tokens: int, bos: bool) -> None:
    wanted: dict[str, Any] = {
        "prepend_bos": bos,
        "per_base": True,
        "chunk_tokens": chunk_tokens,
        "is_streamed": True,
    }
    forward, _ = expected_rows(SEQUENCE, bos=bos)
    reverse, _ = expected_rows(reversed_complement(SEQUENCE), bos=bos)
    parts, result = score(strand=Strand.REVERSE_COMPLEMENT, **wanted)
    assert parts == []
    assert result.per_base is not None
    np.testing.assert_allclose(result.per_base.log_probs, reverse[::-1], atol=2e-4)
    assert result.sum_log_likelihood == pytest.approx(reverse.sum(), rel=1e-6)
    parts, result = score(strand=Strand.BOTH, **wanted)
    assert parts == []
    assert result.per_base is not None
    mean = (forward + reverse[::-1]) / 2
    if not bos:
        mean[[0, -1]] = 0  # each scored by one strand only
    np.testing.assert_allclose(result.per_base.log_probs, mean, atol=2e-4)
    total = (forward.sum() + reverse.sum()) / 2
    assert result.sum_log_likelihood == pytest.approx(total, rel=1e-6)
    assert result.num_scored_bases == len(SEQUENCE) - 1 + bos


def test_one_base_is_scored_behind_a_start_token_only() -> None:
    _, result = score("A", prepend_bos=True, per_base=True)
    assert result.num_scored_bases == 1
    assert result.sum_log_likelihood == pytest.approx(log_softmax("", bos=True)[0, 65], abs=1e-4)
    with pytest.raises(InvalidSequence, match="nothing to score unless prepend_bos is set"):
        score("A")


def test_other_characters_are_read_as_they_are_and_counted() -> None:
    _, upper = score("ACGTACGT")
    _, lower = score("acgtACGT")
    assert (upper.num_other_characters, lower.num_other_characters) == (0, 4)
    assert upper.sum_log_likelihood != pytest.approx(lower.sum_log_likelihood, rel=1e-3)


@pytest.mark.parametrize("strand", BY_STRAND)
def test_the_bytes_said_are_those_of_the_result(strand: Strand) -> None:
    options = ScoreItemOptions.build(strand, per_base=True)
    item = ScoreItem.build(served(), SEQUENCE, options)
    _, result = run_item(item)
    assert result.per_base is not None
    assert item.num_result_bytes == result.per_base.num_bytes == 8 * len(SEQUENCE)
    assert item.num_bytes >= item.num_result_bytes + len(SEQUENCE)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"num_alternatives": 3}, "num_alternatives"),
        (
            {"num_alternatives": 3, "per_base": True, "strand": Strand.BOTH},
            "num_alternatives",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ScoreItemOptions.build(**wanted)
    assert [violation.field for violation in refused.value.violations] == [field]


def test_a_sequence_beyond_the_limit_is_refused() -> None:
    with pytest.raises(SequenceTooLong, match="has 11 bases; this model takes at most 10"):
        ScoreItem.build(served(max_bases=10), "A" * 11, ScoreItemOptions())
