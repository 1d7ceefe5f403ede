"""Events of a generation become messages: merged by pair, numbered without gaps, in order."""

from typing import cast

import numpy as np
import pytest

from primase.tensors import to_array
from primase.type.v1 import generation_pb2 as pb
from primase_server.engine.engine import Engine, QueueState
from primase_server.engine.events import (
    Finished,
    FinishReason,
    Heartbeat,
    Started,
    Timings,
    Tokens,
)
from primase_server.engine.generation import GenerationJob
from primase_server.errors import UnknownModel
from primase_server.models.evo2.tokens import spelled
from primase_server.rpc.generating import Generation, Teller, gather_s
from primase_server.rpc.generation_messages import merged
from primase_server.rpc.screened import Drafts, PairEvent
from primase_server.screening.screener import SequenceKind

PROMPT = "ACGT"
TIMINGS = Timings(0.1, 0.2, 0.3)


def teller() -> Teller[pb.GenerationFinished]:
    job = GenerationJob("evo2", "request", [tuple(PROMPT.encode())] * 2, 10)
    texts = [PROMPT] * 2
    return Teller(
        Generation(
            job,
            texts,
            spelled,
            is_exact=lambda text, ids: tuple(text.encode()) == tuple(ids),
            ended=lambda _, end: end,
            revision="r1",
            drafts=Drafts(SequenceKind.DNA, lambda item, ids: texts[item] + spelled(ids), 512),
        )
    )


def drawn(item: int, *token_ids: int, logit: float | None = None) -> Tokens:
    logits = None if logit is None else np.full((len(token_ids), 5), logit, dtype=np.float32)
    return Tokens(item, 0, 0, token_ids, log_probs=(-0.5,) * len(token_ids), logits=logits)


def test_what_is_pending_of_a_pair_is_one_message() -> None:
    told = list(
        teller().tell(
            [
                Started(0, 0, 0, 7, 4),
                drawn(0, 65),
                Started(1, 0, 0, 7, 4),
                drawn(1, 67),
                drawn(0, 71, 84),
                drawn(1, 200),
                Finished(0, 0, 0, FinishReason.LENGTH, 3, TIMINGS),
            ]
        )
    )
    assert [(t.item_index, t.sequence_number, t.kind) for t in told] == [
        (0, 0, "started"),
        (1, 0, "started"),
        (0, 1, "tokens"),
        (0, 2, "finished"),
        (1, 1, "tokens"),
    ]
    first, second = told[2].message, told[4].message
    assert isinstance(first, pb.GeneratedTokens)
    assert isinstance(second, pb.GeneratedTokens)
    assert (first.text, list(first.token_ids)) == ("AGT", [65, 71, 84])
    assert first.resume_token
    assert (second.text, list(second.token_ids)) == ("C ", [67, 200])
    assert not second.resume_token
    assert not second.HasField("logits")


def test_a_terminal_stands_in_the_last_message() -> None:
    end = Finished(0, 0, 0, FinishReason.TERMINAL, 0, TIMINGS, terminal=drawn(0, 4, logit=2.0))
    [_, told] = teller().tell([Started(0, 0, 0, 7, 4), end])
    assert told.kind == "finished"
    assert isinstance(told.message, pb.GenerationFinished)
    assert told.message.reason == pb.FINISH_REASON_TERMINAL
    terminal = told.message.terminal
    assert (terminal.text, list(terminal.token_ids), list(terminal.log_probs)) == ("", [4], [-0.5])
    assert to_array(terminal.logits).shape == (1, 5)


def test_numbers_go_on_from_one_batch_to_the_next() -> None:
    telling = teller()
    batches: list[list[PairEvent]] = [
        [Heartbeat(0, 0, 0, 2, 0)],
        [Started(0, 0, 0, 7, 4), drawn(0, 65)],
        [drawn(0, 65), drawn(0, 65)],
        [drawn(0, 65)],
    ]
    told = [message for batch in batches for message in telling.tell(batch)]
    assert [t.sequence_number for t in told] == [0, 1, 2, 3, 4]
    assert [t.kind for t in told] == ["heartbeat", "started", "tokens", "tokens", "tokens"]


def test_everything_reported_is_merged() -> None:
    both = merged([drawn(0, 65, 67, logit=1.0), drawn(0, 71, logit=2.0)])
    assert both.token_ids == (65, 67, 71)
    assert both.log_probs == (-0.5,) * 3
    assert both.sampled_probs is None
    assert both.logits is not None
    np.testing.assert_array_equal(both.logits[:, 0], [1.0, 1.0, 2.0])
    [_, told] = teller().tell([Started(0, 0, 0, 7, 4), both])
    assert isinstance(told.message, pb.GeneratedTokens)
    assert to_array(told.message.logits).shape == (3, 5)


@pytest.mark.parametrize(("num_samples", "expected_s"), [(1, 0.03), (32, 0.064), (200, 0.1)])
def test_tokens_gather_longer_where_more_samples_share_the_model(
    num_samples: int, expected_s: float
) -> None:
    class Loaded:
        def queue_state(self, name: str) -> QueueState:
            if name != "evo2":
                raise UnknownModel(name, ("evo2",))
            return QueueState(0, 0, num_samples, 0, 0.0)

    engine = cast("Engine", Loaded())
    assert gather_s(engine, "evo2") == pytest.approx(expected_s)
    assert gather_s(engine, "gone") == 0.03
