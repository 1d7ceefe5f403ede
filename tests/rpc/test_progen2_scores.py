"""ScoreSequences of ProGen2: one message or a stream, each protein as upstream scores it."""

from collections.abc import Iterable

import numpy as np
import pytest

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.tensors import SliceAssembler, to_array
from primase_server.models.progen2.score import ScoreItem
from tests.models.progen2.fixture_runner import runner
from tests.rpc.live import Live, Refusal, limited, refusal, serving
from tests.rpc.progen2 import NAME, assert_all_is_freed, score_request, stream_score_request

PROTEINS = ("MKTAYIAKQR", "M", "BXZUO" * 30, "MKTAYIAKQR")


def assert_scored(found: pb.Likelihood, sequence: str) -> None:
    item = ScoreItem.build(runner().served, sequence)
    expected = item.finish(runner().run([*item.passes()]))
    assert found.sum_log_likelihood == pytest.approx(expected.sum_log_likelihood, rel=1e-5)
    mean = found.sum_log_likelihood / len(sequence)
    assert found.mean_log_likelihood == pytest.approx(mean)
    assert found.forward_sum_log_likelihood == pytest.approx(expected.forward_sum, rel=1e-5)
    assert found.reverse_sum_log_likelihood == pytest.approx(expected.reverse_sum, rel=1e-5)
    both = (found.forward_sum_log_likelihood + found.reverse_sum_log_likelihood) / 2
    assert found.sum_log_likelihood == pytest.approx(both)
    assert found.residue_perplexity == pytest.approx(np.exp(-mean))
    assert found.token_perplexity == pytest.approx(np.exp(expected.token_cross_entropy), rel=1e-5)
    assert found.num_scored_residues == len(sequence)


def test_every_protein_in_one_message(live: Live) -> None:
    answer = live.progen2.ScoreSequences(score_request(*PROTEINS, include_per_residue=True))
    assert answer.model == NAME
    assert answer.usage.num_prompt_tokens == sum(2 * (len(p) + 1) for p in PROTEINS)
    for index, (score, protein) in enumerate(zip(answer.scores, PROTEINS, strict=True)):
        assert (score.item_index, score.id) == (index, f"s{index}")
        assert_scored(score.likelihood, protein)
        rows = to_array(score.per_residue)
        assert rows.shape == (2, len(protein))
        sums = (
            score.likelihood.forward_sum_log_likelihood,
            (score.likelihood.reverse_sum_log_likelihood),
        )
        np.testing.assert_allclose(rows.sum(axis=1), sums, rtol=1e-5)
        assert score.timings.total_ms > 0


def test_values_per_residue_only_where_asked_for(live: Live) -> None:
    [score] = live.progen2.ScoreSequences(score_request("MKT")).scores
    assert not score.HasField("per_residue")
    [message] = live.progen2.StreamScoreSequences(stream_score_request("MKT"))
    assert message.HasField("score")


def followed(
    messages: Iterable[pb.StreamScoreSequencesResponse],
) -> dict[int, pb.SequenceScore | Refusal]:
    """The end of every item, with its values put together; items in order."""
    found: dict[int, pb.SequenceScore | Refusal] = {}
    rows = SliceAssembler()
    for message in messages:
        assert message.item_index == len(found)
        assert message.id == f"s{message.item_index}"
        if message.HasField("failed"):
            found[message.item_index] = Refusal.of(message.failed)
        elif message.HasField("rows"):
            rows.add(message.rows.per_residue)
        else:
            assert not message.score.HasField("per_residue")
            if rows.started:
                message.score.per_residue.CopyFrom(rows.tensor())
                rows = SliceAssembler()
            found[message.item_index] = message.score
    return found


def test_a_stream_says_the_same_and_a_bad_item_fails_alone(live: Live) -> None:
    texts = ("MKTAYIAKQR", "MKJ", "", "A" * 1023, "A" * 1022, "m", "M")
    asked = stream_score_request(*texts, include_per_residue=True)
    found = followed(live.progen2.StreamScoreSequences(asked))
    assert len(found) == len(texts)
    bad = {
        1: "INVALID_SEQUENCE",
        2: "INVALID_SEQUENCE",
        3: "SEQUENCE_TOO_LONG",
        5: "INVALID_SEQUENCE",
    }
    for index, end in found.items():
        if index in bad:
            assert isinstance(end, Refusal)
            assert end.fields == {f"items[{index}].sequence": bad[index]}
        else:
            assert isinstance(end, pb.SequenceScore)
            assert_scored(end.likelihood, texts[index])
            assert to_array(end.per_residue).shape == (2, len(texts[index]))
    refused = refusal(lambda: live.progen2.ScoreSequences(score_request(*texts)))
    assert set(refused.fields) == {f"items[{index}].sequence" for index in (1, 2, 5)}
    too_long = refusal(lambda: live.progen2.ScoreSequences(score_request("M", texts[3])))
    assert too_long.fields == {"items[1].sequence": "SEQUENCE_TOO_LONG"}
    assert "at most 1022, which are 1024 tokens" in too_long.message
    assert_all_is_freed(live)


def test_a_large_answer_is_a_stream(live: Live) -> None:
    proteins = ["A" * 1000] * 600
    whole = score_request(*proteins, include_per_residue=True)
    refused = refusal(lambda: live.progen2.ScoreSequences(whole))
    assert refused.reason == "RESPONSE_TOO_LARGE"
    assert "StreamScoreSequences" in refused.message
    assert_all_is_freed(live)


def test_who_leaves_a_stream_frees_its_work(live: Live) -> None:
    call = live.progen2.StreamScoreSequences(stream_score_request(*["A" * 1000] * 2000))
    next(call)
    call.cancel()
    for _ in range(200):
        live.progen2.ScoreSequences(score_request("M"))
        if live.app.host.engine.queue_state(NAME).queued_tokens == 0:
            break
    assert_all_is_freed(live)


def test_a_server_may_take_less_than_the_model() -> None:
    with serving(limited(max_residues=50)) as live:
        live.progen2.ScoreSequences(score_request("A" * 50))
        found = refusal(lambda: live.progen2.ScoreSequences(score_request("A" * 51)))
        assert found.fields == {"items[0].sequence": "SEQUENCE_TOO_LONG"}
        assert "at most 50" in found.message
