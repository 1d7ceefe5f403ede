"""ScoreSequences and StreamScoreSequences give the log-likelihood of each sequence."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import SliceAssembler, to_array
from primase_server.models.evo2.score import ScoreItem, ScoreItemOptions, ScoreResult
from primase_server.models.evo2.strands import Strand
from tests.models.evo2.items import dna, run_item, served
from tests.rpc.evo2 import MODEL, NAME, items
from tests.rpc.live import Live, Refusal, limited, refusal, serving

SEQUENCE = dna(1500)
ARRAYS = ("per_base", "entropy", "alternative_ids", "alternative_log_probs")
STRANDS = [
    (pb.STRAND_UNSPECIFIED, Strand.FORWARD),
    (pb.STRAND_REVERSE_COMPLEMENT, Strand.REVERSE_COMPLEMENT),
    (pb.STRAND_BOTH, Strand.BOTH),
]


def request(*sequences: str, **wanted: Any) -> pb.ScoreSequencesRequest:
    return pb.ScoreSequencesRequest(model=MODEL, items=items(*sequences), **wanted)


def stream_request(*sequences: str, **wanted: Any) -> pb.StreamScoreSequencesRequest:
    return pb.StreamScoreSequencesRequest(model=MODEL, items=items(*sequences), **wanted)


def expected(sequence: str, **wanted: Any) -> ScoreResult:
    """What the item itself gives."""
    item = ScoreItem.build(served(), sequence, ScoreItemOptions.build(**wanted))
    return run_item(item)[1]


def assert_same(score: pb.SequenceScore, wanted: ScoreResult) -> None:
    assert score.sum_log_likelihood == pytest.approx(wanted.sum_log_likelihood, rel=1e-5)
    assert score.mean_log_likelihood == pytest.approx(wanted.mean_log_likelihood, rel=1e-5)
    assert score.perplexity == pytest.approx(wanted.perplexity, rel=1e-4)
    assert score.num_scored_bases == wanted.num_scored_bases
    assert score.num_other_characters == wanted.num_other_characters
    assert score.timings.total_ms > 0


def assert_bases(found: dict[str, NDArray[Any]], wanted: ScoreResult, alternatives: int) -> None:
    assert wanted.per_base is not None
    np.testing.assert_allclose(found["per_base"], wanted.per_base.log_probs, atol=1e-4)
    np.testing.assert_allclose(found["entropy"], wanted.per_base.entropies, atol=1e-4)
    assert set(found) == set(ARRAYS if alternatives else ARRAYS[:2])
    if alternatives:
        assert found["alternative_ids"].dtype == np.int32
        assert found["alternative_ids"].shape == (len(SEQUENCE), alternatives)
        np.testing.assert_allclose(
            found["alternative_log_probs"], wanted.per_base.alternative_log_probs, atol=1e-4
        )


def collected(
    responses: Iterable[pb.StreamScoreSequencesResponse],
) -> tuple[dict[str, NDArray[Any]], pb.SequenceScore]:
    """The arrays and the score of one sequence; the score comes last and holds no array."""
    *rows, last = responses
    assemblers: dict[str, SliceAssembler] = {}
    for response in rows:
        assert response.ByteSize() <= 1 << 20
        for field, piece in response.rows.ListFields():
            assemblers.setdefault(field.name, SliceAssembler()).add(piece)
    assert not any(last.score.HasField(name) for name in ARRAYS)  # type: ignore[arg-type]
    return {name: assembler.array() for name, assembler in assemblers.items()}, last.score


@pytest.mark.parametrize(("strand", "kind"), STRANDS)
@pytest.mark.parametrize("bos", [False, True])
def test_scores_of_each_strand(live: Live, strand: Any, kind: Strand, bos: bool) -> None:
    sequences = ("ACGTNacgt", dna(200), "AC")
    wanted = {"strand": kind, "prepend_bos": bos}
    whole = live.evo2.ScoreSequences(request(*sequences, strand=strand, prepend_bos=bos))
    streamed = list(
        live.evo2.StreamScoreSequences(stream_request(*sequences, strand=strand, prepend_bos=bos))
    )
    num_tokens = (9 + 200 + 2 + 3 * bos) * len(kind.is_reversed)
    assert (whole.model, whole.usage.num_prompt_tokens) == (NAME, num_tokens)
    for index, sequence in enumerate(sequences):
        result = expected(sequence, **wanted)
        for score in (whole.scores[index], streamed[index].score):
            assert_same(score, result)
            assert (score.item_index, score.id) == (index, f"s{index}")
            assert not score.HasField("per_base")


@pytest.mark.parametrize(("strand", "kind"), STRANDS)
@pytest.mark.parametrize("bos", [False, True])
def test_values_per_base(live: Live, strand: Any, kind: Strand, bos: bool) -> None:
    alternatives = 0 if kind is Strand.BOTH else 5
    asked: dict[str, Any] = {
        "strand": strand,
        "prepend_bos": bos,
        "include_per_base": True,
        "num_alternatives": alternatives,
    }
    wanted = expected(
        SEQUENCE, strand=kind, prepend_bos=bos, per_base=True, num_alternatives=alternatives
    )
    [score] = live.evo2.ScoreSequences(request(SEQUENCE, **asked)).scores
    assert_same(score, wanted)
    names = [name for name in ARRAYS if score.HasField(name)]  # type: ignore[arg-type]
    assert_bases({name: to_array(getattr(score, name)) for name in names}, wanted, alternatives)
    found, last = collected(live.evo2.StreamScoreSequences(stream_request(SEQUENCE, **asked)))
    assert_same(last, wanted)
    assert_bases(found, wanted, alternatives)


def test_values_leave_chunk_by_chunk(live: Live) -> None:
    asked = stream_request(SEQUENCE, include_per_base=True)
    responses = list(live.evo2.StreamScoreSequences(asked))
    offsets = [r.rows.per_base.row_offset for r in responses if r.HasField("rows")]
    assert offsets == [0, 1024]
    assert responses[-1].HasField("score")


def test_many_alternatives_are_cut_into_messages(live: Live) -> None:
    asked = stream_request(dna(4500), include_per_base=True, num_alternatives=32)
    responses = list(live.evo2.StreamScoreSequences(asked))
    assert max(response.ByteSize() for response in responses) <= 1 << 20
    found, _ = collected(responses)
    assert found["alternative_ids"].shape == (4500, 32)


def test_in_a_stream_a_bad_sequence_fails_alone(live: Live) -> None:
    responses = list(live.evo2.StreamScoreSequences(stream_request("A", "AC\x01", "ACGT", "")))
    assert [response.item_index for response in responses] == [0, 1, 2, 3]
    refused = [Refusal.of(responses[index].failed) for index in (0, 1, 3)]
    assert [refusal.fields for refusal in refused] == [
        {"items[0].sequence": "INVALID_SEQUENCE"},
        {"items[1].sequence": "INVALID_SEQUENCE"},
        {"items[3].sequence": "INVALID_SEQUENCE"},
    ]
    assert "prepend_bos" in refused[0].message
    assert responses[2].score.num_scored_bases == 3


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"num_alternatives": 3}, "num_alternatives"),
        (
            {"num_alternatives": 3, "include_per_base": True, "strand": pb.STRAND_BOTH},
            "num_alternatives",
        ),
        ({"strand": 99}, "strand"),
        ({"num_alternatives": 33}, "num_alternatives"),
    ],
)
def test_what_does_not_go_together_fails_the_call(
    live: Live, asked: dict[str, Any], field: str
) -> None:
    for refused in (
        refusal(lambda: live.evo2.ScoreSequences(request("ACGT", **asked))),
        refusal(lambda: live.evo2.StreamScoreSequences(stream_request("ACGT", **asked))),
    ):
        assert refused.fields == {field: "INVALID_PARAMETER"}


def test_an_answer_that_is_too_large_is_refused_before_any_work() -> None:
    with serving(limited(max_unary_response_bytes=20_000)) as live:
        assert live.evo2.ScoreSequences(request(dna(2400), include_per_base=True)).scores
        assert live.evo2.ScoreSequences(request(dna(4000))).scores
        refused = refusal(
            lambda: live.evo2.ScoreSequences(request(dna(2500), include_per_base=True))
        )
        assert refused.reason == "RESPONSE_TOO_LARGE"
        assert "use StreamScoreSequences" in refused.message
