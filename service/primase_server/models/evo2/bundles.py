"""Short sequences read together, long ones chunk by chunk."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from primase_server.models.evo2.chunks import chunked
from primase_server.models.evo2.passes import Carry, Read, ScoreOptions
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.tokens import Tokens

LOG_PROBS = ScoreOptions(log_probs=True)

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class Bundle(Generic[Key]):
    """Reads of one pass; `keys` say whose they are. `is_end` where the sequences end with them."""

    keys: tuple[Key, ...]
    reads: tuple[Read, ...]
    is_end: bool


def bundled(served: Evo2Served, sequences: Iterable[tuple[Key, Tokens]]) -> Iterator[Bundle[Key]]:
    """Passes that score whole sequences, in order."""
    keys: list[Key] = []
    reads: list[Read] = []
    num_tokens = state_bytes = 0
    for key, token_ids in sequences:
        own_bytes = served.state_bytes(len(token_ids))
        is_full = num_tokens + len(token_ids) > served.chunk_tokens
        if reads and (is_full or state_bytes + own_bytes > served.bundled_state_bytes):
            yield Bundle(tuple(keys), tuple(reads), is_end=True)
            keys, reads, num_tokens, state_bytes = [], [], 0, 0
        if len(token_ids) > served.chunk_tokens:
            for read in chunked(token_ids, served.chunk_tokens, score=LOG_PROBS):
                yield Bundle((key,), (read,), is_end=read.is_last)
            continue
        keys.append(key)
        reads.append(Read(Carry(), token_ids, score=LOG_PROBS, is_last=True))
        num_tokens += len(token_ids)
        state_bytes += own_bytes
    if reads:
        yield Bundle(tuple(keys), tuple(reads), is_end=True)
