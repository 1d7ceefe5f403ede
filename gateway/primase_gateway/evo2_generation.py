"""Generation by Evo 2 as all dialects see it: one prompt, one sample, and what is told of it."""

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import generation_pb2
from primase_gateway.errors import Refusal, from_status
from primase_gateway.evo2 import NO_SUCH_ANSWER, Array
from primase_gateway.finite import finite
from primase_gateway.sampling import sampling
from primase_gateway.service import Service

VOCABULARY = 512
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Wish:
    """A prompt and how to continue it, by the numbers that `sampling` takes."""

    prompt: str
    num_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int | None = None
    report: generation_pb2.TokenReport = field(default_factory=generation_pb2.TokenReport)

    @property
    def num_bytes(self) -> int:
        """What the answer holds."""
        numbers = self.report.sampled_probs + self.report.elapsed_ms
        numbers += VOCABULARY * self.report.logits
        return self.num_tokens * (1 + FLOAT32_BYTES * numbers)

    def request(self, model: str) -> pb.StreamGenerateRequest:
        """The call of `model`."""
        return pb.StreamGenerateRequest(
            model=model,
            items=[pb.GenerateItem(prompt=self.prompt)],
            options=pb.GenerateOptions(
                num_tokens=self.num_tokens,
                sampling=sampling(
                    self.temperature, self.top_p, self.seed, min(self.top_k, VOCABULARY)
                ),
                report=self.report,
            ),
        )


class Continuation:
    """What becomes of a wish, as it comes. What was not asked for is None.

    num_tokens: how many there are so far.
    logits: raw, [num_tokens, 512]. sampled_probs, elapsed_ms: [num_tokens].
    """

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._texts: list[str] = []
        self.num_tokens = 0
        self.logits = _room(wish.report.logits, wish.num_tokens, VOCABULARY)
        self.sampled_probs = _room(wish.report.sampled_probs, wish.num_tokens)
        self.elapsed_ms = _room(wish.report.elapsed_ms, wish.num_tokens)

    @property
    def text(self) -> str:
        """One character for each token."""
        return "".join(self._texts)

    async def read(self, service: Service, model: str, deadline_s: float | None = None) -> None:
        """Have `model` make all of it. Raises Refusal."""
        is_finished = False
        request = self._wish.request(model)
        async with aclosing(
            service.stream(service.evo2.StreamGenerate, request, deadline_s)
        ) as responses:
            async for response in responses:
                event = response.WhichOneof("event")
                if event == "failed":
                    raise from_status(response.failed, response.item_index)
                if event == "tokens":
                    self._add(response.tokens)
                is_finished = is_finished or event == "finished"
        if not is_finished or self.num_tokens != self._wish.num_tokens:
            raise Refusal("INTERNAL", NO_SUCH_ANSWER)

    def _add(self, tokens: generation_pb2.GeneratedTokens) -> None:
        start, self.num_tokens = self.num_tokens, self.num_tokens + len(tokens.token_ids)
        new = slice(start, self.num_tokens)
        try:
            if len(tokens.text) != len(tokens.token_ids):
                raise ValueError
            if self.logits is not None:
                _put(self.logits[new], to_array(tokens.logits))
            if self.sampled_probs is not None:
                _put(self.sampled_probs[new], np.array(tokens.sampled_probs))
            if self.elapsed_ms is not None:
                _put(self.elapsed_ms[new], np.array(tokens.elapsed_ms))
        except ValueError:
            raise Refusal("INTERNAL", NO_SUCH_ANSWER) from None
        self._texts.append(tokens.text)


def _put(place: Array, numbers: NDArray[Any]) -> None:
    # Without this, numpy would repeat a single row.
    if numbers.shape != place.shape:
        raise ValueError
    place[:] = finite(numbers)


def _room(is_wanted: bool, *shape: int) -> Array | None:
    return np.empty(shape, np.float32) if is_wanted else None
