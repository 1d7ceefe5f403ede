"""A scripted ProGen2 server's answers, made from nothing but what it is asked."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.tensors import row_slices
from primase.type.v1 import generation_pb2 as generation
from primase.type.v1.usage_pb2 import Timings
from tests.clients.dna_answers import is_bad, refusal
from tests.clients.generation_answers import (
    PICKED_SEED,
    TOKENS_PER_MESSAGE,
    broken_off,
    merged,
    report,
)
from tests.clients.scripted import Responses, ScriptedProGen2

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
C_TERMINUS_ID = 4
# The model ends every protein after so many residues.
NUM_RESIDUES = 40


def drawn(seed: int, sample: int, num_residues: int) -> str:
    """The new residues of a sample, in order of drawing."""
    digests = (
        blake2b(f"{seed},{sample},{place}".encode()).digest() for place in range(num_residues)
    )
    return "".join(LETTERS[digest[0] % 25] for digest in digests)


def likelihood(sequence: str) -> pb.Likelihood:
    """Made of the length alone."""
    length = len(sequence)
    return pb.Likelihood(
        sum_log_likelihood=-1.5 * length,
        mean_log_likelihood=-1.5,
        forward_sum_log_likelihood=-1.25 * length,
        reverse_sum_log_likelihood=-1.75 * length,
        residue_perplexity=4.5,
        token_perplexity=4.75,
        num_scored_residues=length,
    )


def per_residue(sequence: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """[2, L]: minus the code of each letter, and the half of that."""
    codes = np.frombuffer(sequence.encode(), np.uint8).astype(np.float32)
    return np.stack([-codes, -codes / 2])


def samples(request: pb.StreamGenerateRequest, context: Any) -> Iterator[pb.StreamGenerateResponse]:
    """All samples of one context, three residues of each in turn."""
    (item,) = request.items
    options = request.options
    if is_bad(item.context):
        for number in range(options.num_samples):
            failed = refusal("items[0].context")
            yield pb.StreamGenerateResponse(sample_index=number, failed=failed)
        return
    seed = options.sampling.seed if options.sampling.HasField("seed") else PICKED_SEED
    first, start = 0, 0
    if request.resume_token:
        seed, first, start = map(int, request.resume_token.split("-"))
        assert options.num_samples == 1
    streams = [_events(n, first + n, seed, start, request) for n in range(options.num_samples)]
    yield from merged(streams)


def _events(
    number: int, sample: int, seed: int, start: int, request: pb.StreamGenerateRequest
) -> Iterator[pb.StreamGenerateResponse]:
    for event, told in enumerate(_told(sample, seed, start, request)):
        yield pb.StreamGenerateResponse(sample_index=number, sequence_number=event, **told)


def _told(
    sample: int, seed: int, start: int, request: pb.StreamGenerateRequest
) -> Iterator[dict[str, Any]]:
    context, options = request.items[0].context, request.options
    text = drawn(seed, sample, min(options.max_new_residues, NUM_RESIDUES))
    yield {
        "started": generation.GenerationStarted(
            request_id="call",
            model=request.model,
            revision="r1",
            seed=seed,
            num_prompt_tokens=1 + len(context),
        )
    }
    for place in range(start, len(text), TOKENS_PER_MESSAGE):
        piece = text[place : place + TOKENS_PER_MESSAGE]
        tokens = generation.GeneratedTokens(
            text=piece,
            token_ids=[5 + LETTERS.index(letter) for letter in piece],
            resume_token=f"{seed}-{sample}-{place + len(piece)}",
        )
        report(tokens, options.report)
        yield {"tokens": tokens}
    yield {"finished": _finished(context, text, start, options)}


def _finished(
    context: str, text: str, start: int, options: pb.GenerateOptions
) -> pb.SampleFinished:
    is_reverse = options.direction == pb.DIRECTION_C_TO_N
    before, after = text[:start], text[start:]
    if is_reverse:
        assert context.startswith(before[::-1])
        sequence = after[::-1] + context
    else:
        assert context.endswith(before)
        sequence = context + after
    outcome = generation.GenerationFinished(
        reason=generation.FINISH_REASON_LENGTH, mass_outside_alphabet=0.25
    )
    is_ended = len(text) < options.max_new_residues
    if is_ended:
        outcome.reason = generation.FINISH_REASON_TERMINAL
        outcome.terminal.token_ids.append(C_TERMINUS_ID)
        report(outcome.terminal, options.report)
    return pb.SampleFinished(
        outcome=outcome,
        sequence=sequence,
        likelihood=likelihood(sequence) if options.include_likelihood and sequence else None,
        low_complexity_fraction=0.5,
        terminal=pb.TERMINAL_C if is_ended else pb.TERMINAL_UNSPECIFIED,
    )


def scores(
    request: pb.StreamScoreSequencesRequest, context: Any
) -> Iterator[pb.StreamScoreSequencesResponse]:
    """A row of values in a message, then the score."""
    for i, item in enumerate(request.items):
        if is_bad(item.sequence):
            failed = refusal(f"items[{i}].sequence")
            yield pb.StreamScoreSequencesResponse(item_index=i, failed=failed)
            continue
        if request.include_per_residue:
            for piece in row_slices(per_residue(item.sequence), max_bytes=1):
                rows = pb.SequenceScoreRows(per_residue=piece)
                yield pb.StreamScoreSequencesResponse(item_index=i, rows=rows)
        score = pb.SequenceScore(
            likelihood=likelihood(item.sequence), timings=Timings(total_ms=len(item.sequence))
        )
        yield pb.StreamScoreSequencesResponse(item_index=i, score=score)


class EveryProtein(ScriptedProGen2):
    """Answers both streams; each entry of `breaks` ends the next call after so many messages."""

    def __init__(self, breaks: tuple[int | None, ...] = ()) -> None:
        super().__init__(samples)
        self._breaks = list(breaks)

    def StreamGenerate(self, request: Any, context: Any) -> Responses:
        self.requests.append(request)
        num_messages = self._breaks.pop(0) if self._breaks else None
        yield from broken_off(samples(request, context), num_messages, context)

    def StreamScoreSequences(self, request: Any, context: Any) -> Responses:
        self.requests.append(request)
        yield from scores(request, context)
