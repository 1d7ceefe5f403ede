"""What the tests ask of ProGen2, and the rules that every stream of it keeps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.local import LocalEngine
from tests.rpc.live import Live, Refusal

MODEL = "progen2-oas"
NAME = "progen2-demo"
GREEDY = generation_pb2.Sampling(temperature=0)
STANDARD = "ACDEFGHIKLMNPQRSTVWY"


def contexts(*texts: str) -> list[pb.GenerateItem]:
    return [pb.GenerateItem(id=f"c{i}", context=text) for i, text in enumerate(texts)]


def options(max_new_residues: int = 20, **wanted: Any) -> pb.GenerateOptions:
    return pb.GenerateOptions(max_new_residues=max_new_residues, **wanted)


def seeded(seed: int, max_new_residues: int = 20, **wanted: Any) -> pb.GenerateOptions:
    sampling = generation_pb2.Sampling(seed=seed, top_p=0.95)
    return options(max_new_residues, **{"sampling": sampling, **wanted})


def request(*texts: str, options: pb.GenerateOptions) -> pb.GenerateRequest:
    return pb.GenerateRequest(model=MODEL, items=contexts(*texts), options=options)


def stream_request(
    *texts: str, options: pb.GenerateOptions, resume_token: str = ""
) -> pb.StreamGenerateRequest:
    return pb.StreamGenerateRequest(
        model=MODEL, items=contexts(*texts), options=options, resume_token=resume_token
    )


@dataclass
class Followed:
    """One pair of a stream: what came of it, each message held to the rules."""

    started: generation_pb2.GenerationStarted | None = None
    tokens: list[generation_pb2.GeneratedTokens] = field(default_factory=list)
    finished: pb.SampleFinished | None = None
    refusal: Refusal | None = None
    num_messages: int = 0

    @property
    def text(self) -> str:
        return "".join(message.text for message in self.tokens)

    @property
    def token_ids(self) -> list[int]:
        return [token for message in self.tokens for token in message.token_ids]

    @property
    def end(self) -> pb.SampleFinished:
        assert self.finished is not None
        return self.finished

    def add(self, message: pb.StreamGenerateResponse) -> None:
        assert message.sequence_number == self.num_messages
        assert self.finished is None
        assert self.refusal is None
        self.num_messages += 1
        kind = message.WhichOneof("event")
        if kind == "started":
            assert not self.tokens
            self.started = message.started
        elif kind == "tokens":
            assert self.started is not None
            assert len(message.tokens.text) == len(message.tokens.token_ids) > 0
            assert message.tokens.resume_token
            self.tokens.append(message.tokens)
        elif kind == "failed":
            self.refusal = Refusal.of(message.failed)
        elif kind == "finished":
            usage = message.finished.outcome.usage
            assert usage.num_generated_tokens == len(self.token_ids)
            self.finished = message.finished


def followed(messages: Iterable[pb.StreamGenerateResponse]) -> dict[tuple[int, int], Followed]:
    """Every pair of a whole stream, each with one end."""
    pairs: dict[tuple[int, int], Followed] = {}
    for message in messages:
        pairs.setdefault((message.item_index, message.sample_index), Followed()).add(message)
    assert all(pair.finished is not None or pair.refusal is not None for pair in pairs.values())
    return pairs


def only(messages: Iterable[pb.StreamGenerateResponse]) -> Followed:
    """The one pair of a stream."""
    [pair] = followed(messages).values()
    return pair


def proteins(*sequences: str) -> list[pb.ScoreItem]:
    return [pb.ScoreItem(id=f"s{i}", sequence=text) for i, text in enumerate(sequences)]


def score_request(*sequences: str, **wanted: Any) -> pb.ScoreSequencesRequest:
    return pb.ScoreSequencesRequest(model=MODEL, items=proteins(*sequences), **wanted)


def stream_score_request(*sequences: str, **wanted: Any) -> pb.StreamScoreSequencesRequest:
    return pb.StreamScoreSequencesRequest(model=MODEL, items=proteins(*sequences), **wanted)


def scheduler(live: Live) -> GenerationScheduler:
    """Of the demo model."""
    engine = live.app.host.engine
    assert isinstance(engine, LocalEngine)
    generation = engine._models[NAME].generation
    assert isinstance(generation, GenerationScheduler)
    return generation


def assert_all_is_freed(live: Live) -> None:
    state = live.app.host.engine.queue_state(NAME)
    assert state.queued_items == state.queued_tokens == state.queued_bytes == 0
    assert scheduler(live).held_bytes == 0
