"""One sequence as the reads that take it through the model."""

from collections.abc import Iterator

from primase_server.models.evo2.passes import Carry, Read, ScoreOptions, TapOptions
from primase_server.models.evo2.tokens import Tokens


def num_chunks(num_tokens: int, chunk_tokens: int) -> int:
    """Reads that a sequence of so many tokens is cut into."""
    return -(-num_tokens // chunk_tokens)


def chunked(
    token_ids: Tokens,
    chunk_tokens: int,
    *,
    carry: Carry | None = None,
    taps: tuple[str, ...] = (),
    tap_options: TapOptions | None = None,
    score: ScoreOptions | None = None,
    is_whole: bool = True,
    num_before: int = 0,
) -> Iterator[Read]:
    """Reads of at most `chunk_tokens` that go on from one another, and from `carry`.

    `is_whole`: nothing comes behind these tokens. `num_before`: tokens that `carry` has read.
    """
    carry = carry or Carry()
    for start in range(0, len(token_ids), chunk_tokens):
        stop = start + chunk_tokens
        yield Read(
            carry,
            token_ids[start:stop],
            taps,
            tap_options or TapOptions(),
            score or ScoreOptions(),
            is_last=is_whole and stop >= len(token_ids),
            start=num_before + start,
        )
