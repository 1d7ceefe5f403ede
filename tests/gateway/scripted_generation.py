"""Evo 2's generation as a test tells it to be: logits made of the prompt's own hash."""

import secrets
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import to_tensor
from primase.type.v1 import generation_pb2, usage_pb2

VOCABULARY = 512
MAX_TOKENS = 4096  # the most that a dialect asks for, but NIM
TOKENS_PER_MESSAGE = 9
FIRST_MS = 20.25
OTHERS_MS = 0.4

Array = NDArray[np.float32]


def logits(prompt: str, num_tokens: int) -> Array:
    """[num_tokens, 512]: bases before all others, of which some are no text."""
    random = np.random.default_rng(zlib.crc32(prompt.encode()))
    rows = random.standard_normal((num_tokens, VOCABULARY)).astype(np.float32)
    rows[:, list(b"ACGT")] += 4
    return rows


def softmax(rows: Array) -> Array:
    """Along the last axis."""
    raised = np.exp(rows.astype(np.float64) - rows.max(axis=-1, keepdims=True))
    found: Array = (raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)
    return found


def text_of(token_ids: NDArray[np.int64]) -> str:
    """A character for each token."""
    return "".join(chr(token) if 32 <= token < 127 else " " for token in token_ids)


def drawn(rows: Array, sampling: generation_pb2.Sampling, stream: str) -> NDArray[np.int64]:
    """[num_tokens] by the rules of the contract."""
    temperature = sampling.temperature if sampling.HasField("temperature") else 1.0
    order = np.argsort(-rows, axis=1, kind="stable")
    if temperature == 0 or sampling.top_k == 1:
        return order[:, 0]
    probs = softmax(np.take_along_axis(rows, order, 1) / np.float32(temperature))
    probs[:, sampling.top_k or VOCABULARY :] = 0
    probs /= probs.sum(axis=1, keepdims=True)
    if sampling.HasField("top_p"):
        probs[probs.cumsum(axis=1) - probs >= sampling.top_p] = 0
        probs /= probs.sum(axis=1, keepdims=True)
    numbers = np.random.default_rng(zlib.crc32(stream.encode())).random(len(rows))
    places = (probs.cumsum(axis=1) <= numbers[:, None]).sum(axis=1)
    kept = np.minimum(places, (probs > 0).sum(axis=1) - 1)
    return np.take_along_axis(order, kept[:, None], 1)[:, 0]


def num_samples(request: Any) -> int:
    """At most as many as the contract allows."""
    wanted: int = request.options.num_samples
    return max(1, min(wanted, 64))


class Sample:
    """What becomes of one item, once."""

    def __init__(self, script: Any, request: Any, item_index: int, sample_index: int) -> None:
        options = request.options
        self._script = script
        self._report = options.report
        self._names: dict[str, Any] = {"item_index": item_index, "sample_index": sample_index}
        self._prompt = request.items[item_index].prompt
        wanted = options.num_tokens if options.HasField("num_tokens") else 100
        self.num_tokens = max(1, min(wanted, MAX_TOKENS))
        sampling = options.sampling
        self.seed = sampling.seed if sampling.HasField("seed") else secrets.randbits(64)
        self._rows = logits(self._prompt, self.num_tokens)
        stream = f"{self.seed} {item_index} {sample_index}"
        self._token_ids = drawn(self._rows, sampling, stream)

    def started(self) -> generation_pb2.GenerationStarted:
        return generation_pb2.GenerationStarted(
            model="scripted", seed=self.seed, num_prompt_tokens=len(self._prompt)
        )

    def finished(self) -> generation_pb2.GenerationFinished:
        return generation_pb2.GenerationFinished(
            reason=generation_pb2.FINISH_REASON_LENGTH,
            usage=usage_pb2.Usage(num_prompt_tokens=len(self._prompt)),
        )

    def tokens(self, start: int, end: int) -> generation_pb2.GeneratedTokens:
        token_ids, rows = self._token_ids[start:end], self._rows[start:end].copy()
        probs = np.take_along_axis(softmax(rows), token_ids[:, None], 1)[:, 0]
        if self._script.not_finite:
            rows[0, 7] = np.inf
            probs[0] = np.nan
        report = self._report
        elapsed = [OTHERS_MS if place else FIRST_MS for place in range(start, end)]
        return generation_pb2.GeneratedTokens(
            text=text_of(token_ids),
            token_ids=token_ids.tolist(),
            sampled_probs=probs.tolist() if report.sampled_probs else [],
            logits=to_tensor(rows) if report.logits else None,
            elapsed_ms=elapsed if report.elapsed_ms else [],
            resume_token=f"after-{end}",
        )

    def events(self, context: Any) -> Iterator[pb.StreamGenerateResponse]:
        """The first token alone, then several at a time."""
        for number, event in enumerate(self._events(context)):
            yield pb.StreamGenerateResponse(**self._names, sequence_number=number, **event)

    def _events(self, context: Any) -> Iterator[dict[str, Any]]:
        yield {"started": self.started()}
        yield {"heartbeat": generation_pb2.GenerationHeartbeat(num_prefilled_tokens=1)}
        yield {"tokens": self.tokens(0, 1)}
        if self._script.stall:
            context.add_callback(self._script.cancelled.set)
            self._script.hanging.set()
            self._script.cancelled.wait(30)
        self._script.fail_late(context)
        num_tokens = self.num_tokens - self._script.short
        for start in range(1, num_tokens, TOKENS_PER_MESSAGE):
            yield {"tokens": self.tokens(start, min(num_tokens, start + TOKENS_PER_MESSAGE))}
        yield {"finished": self.finished()}
