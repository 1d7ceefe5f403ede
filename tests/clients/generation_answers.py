"""A scripted server's samples, drawn from nothing but the seed, the sample and the position."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import grpc
import numpy as np

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import to_tensor
from primase.type.v1 import generation_pb2 as generation
from primase.type.v1.tensor_pb2 import DATA_TYPE_INT32
from primase.type.v1.usage_pb2 import Usage
from tests.clients.dna_answers import is_bad, refusal
from tests.clients.scripted import Responses, ScriptedEvo2, abort, status

PICKED_SEED = 4711
TOKENS_PER_MESSAGE = 3


def drawn(seed: int, sample: int, num_tokens: int, start: int = 0) -> str:
    """The bases from `start` on of a sample of the first item."""
    places = range(start, num_tokens)
    digests = (blake2b(f"{seed},{sample},{place}".encode()).digest() for place in places)
    return "".join("ACGT"[digest[0] % 4] for digest in digests)


def samples(request: pb.StreamGenerateRequest, context: Any) -> Iterator[pb.StreamGenerateResponse]:
    """All samples of one prompt, three tokens of each in turn."""
    (item,) = request.items
    options = request.options
    if is_bad(item.prompt):
        for number in range(options.num_samples):
            failed = refusal("items[0].prompt")
            yield pb.StreamGenerateResponse(sample_index=number, failed=failed)
        return
    seed = options.sampling.seed if options.sampling.HasField("seed") else PICKED_SEED
    first, start = 0, 0
    if request.resume_token:
        seed, first, start = map(int, request.resume_token.split("-"))
        text = drawn(seed, first, start)
        assert item.prompt.endswith(text)
        assert start < options.num_tokens
        assert not text.endswith(tuple(options.stop_sequences))
        assert options.sampling.seed in (0, seed)
    texts = [drawn(seed, first + n, options.num_tokens) for n in range(options.num_samples)]
    texts = [_stopped(text, options.stop_sequences) for text in texts]
    yield from merged(
        [_events(n, first + n, seed, start, text, request) for n, text in enumerate(texts)]
    )


def _events(
    number: int, sample: int, seed: int, start: int, text: str, request: pb.StreamGenerateRequest
) -> Iterator[pb.StreamGenerateResponse]:
    begun = generation.GenerationStarted(
        request_id="call",
        model=request.model,
        revision="r1",
        seed=seed,
        num_prompt_tokens=len(request.items[0].prompt),
        determinism=generation.DETERMINISM_BATCH_INVARIANT,
    )
    yield pb.StreamGenerateResponse(sample_index=number, started=begun)
    beat = generation.GenerationHeartbeat(queue_position=2)
    yield pb.StreamGenerateResponse(sample_index=number, sequence_number=1, heartbeat=beat)
    event = 1
    for place in range(start, len(text), TOKENS_PER_MESSAGE):
        event += 1
        piece = text[place : place + TOKENS_PER_MESSAGE]
        tokens = generation.GeneratedTokens(
            text=piece,
            token_ids=list(piece.encode()),
            resume_token=f"{seed}-{sample}-{place + len(piece)}",
        )
        report(tokens, request.options.report)
        yield pb.StreamGenerateResponse(sample_index=number, sequence_number=event, tokens=tokens)
    is_whole = len(text) == request.options.num_tokens
    reason = generation.FINISH_REASON_LENGTH if is_whole else generation.FINISH_REASON_STOP_SEQUENCE
    end = generation.GenerationFinished(
        reason=reason,
        usage=Usage(num_generated_tokens=len(text) - start),
        mass_outside_alphabet=0.25,
    )
    yield pb.StreamGenerateResponse(sample_index=number, sequence_number=event + 1, finished=end)


def report(tokens: generation.GeneratedTokens, asked: generation.TokenReport) -> None:
    """What was asked to be told, made of the tokens."""
    ids = np.array(tokens.token_ids, np.int32)
    if asked.log_probs:
        tokens.log_probs.extend(-ids)
    if asked.sampled_probs:
        tokens.sampled_probs.extend(1 / ids)
    if asked.elapsed_ms:
        tokens.elapsed_ms.extend(ids * 10)
    if asked.logits:
        tokens.logits.CopyFrom(to_tensor(np.tile(ids[:, None], (1, 512))))
    if count := asked.num_alternatives:
        others = ids[:, None] + np.arange(count, dtype=np.int32)
        tokens.alternative_ids.CopyFrom(to_tensor(others, DATA_TYPE_INT32))
        tokens.alternative_log_probs.CopyFrom(to_tensor(-others))


def _stopped(text: str, stops: Any) -> str:
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    return text[: min(ends, default=len(text))]


def merged(streams: list[Iterator[Any]]) -> Iterator[Any]:
    """One of each in turn."""
    while streams:
        for stream in tuple(streams):
            if (event := next(stream, None)) is None:
                streams.remove(stream)
            else:
                yield event


class EverySample(ScriptedEvo2):
    """Answers StreamGenerate; each entry of `breaks` ends the next call after so many messages."""

    def __init__(self, breaks: tuple[int | None, ...] = ()) -> None:
        super().__init__(samples)
        self._breaks = list(breaks)

    def StreamGenerate(self, request: Any, context: Any) -> Responses:
        self.requests.append(request)
        num_messages = self._breaks.pop(0) if self._breaks else None
        yield from broken_off(samples(request, context), num_messages, context)


def broken_off(responses: Responses, num_messages: int | None, context: Any) -> Responses:
    """The first so many, then the server goes away; None for all of them."""
    for number, response in enumerate(responses):
        if number == num_messages:
            sent = status(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "it went away")
            abort(context, sent, retry_pushback_ms=-1)
        yield response
