"""ProGen2 as the scheduler of generation drives it: contexts read in chunks, residues in blocks."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from primase_server.models.device import works
from primase_server.models.generation_read import Read
from primase_server.models.progen2.decoder import Decoder
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.slots import Slot, Slots
from primase_server.models.progen2.state import state_bytes

INVARIANT_ROWS = 6
"""Sequences whose numbers may not depend on others are decoded so many at a time, filled up.

The largest number that takes a CPU's product as long as one row does.
"""

CHUNK_TOKENS = 256
"""Few contexts are longer; shorter chunks would let more of the others' residues in between."""


class ProGen2Generator:
    """One loaded model; `step` is to be called from one thread at a time."""

    out_of_memory_errors = (torch.OutOfMemoryError,)

    def __init__(self, model: ProGen2) -> None:
        self._model = model
        self._decoder = Decoder(model)
        self._slots = Slots(model.config, model.device, model.dtype)
        self.chunk_tokens = CHUNK_TOKENS

    def device_works(self) -> bool:
        """Whether anything can still be run."""
        return works(self._model.device)

    def sequence_bytes(self, num_tokens: int) -> int:
        """Bytes of state of one sequence of that length."""
        return state_bytes(self._model.config, num_tokens, self._model.dtype.itemsize)

    def new_state(self, max_tokens: int) -> Slot:
        """A sequence of which nothing is read, with room for so many tokens."""
        return self._slots.take(max_tokens)

    def fork(self, state: object, max_tokens: int) -> Slot:
        """A sequence that goes on by itself, from a context that is read."""
        read, forked = _own(state), self._slots.take(max_tokens)
        num_tokens = forked.num_tokens = read.num_tokens
        forked.stored[:, :, :, :num_tokens] = read.stored[:, :, :, :num_tokens]
        return forked

    def release(self, state: object) -> None:
        """The sequence has ended."""
        self._slots.give_back(_own(state))

    @torch.inference_mode()
    def step(self, reads: Sequence[Read], give_way: Callable[[], None]) -> Tensor:
        """[reads that want logits, vocabulary] float32, in their order; every state moves on.

        Between the blocks of a chunk it calls `give_way`. An out-of-memory error of torch passes
        through. When this raises, no state has moved on.
        """
        chunks = [read for read in reads if not read.is_drawn]
        drawn = [read for read in reads if read.is_drawn]
        starts = [(state, state.num_tokens) for state in (_own(read.state) for read in reads)]
        try:
            return self._logits(reads, self._read(chunks, give_way) | self._decode(drawn))
        except BaseException:
            for state, num_tokens in starts:
                state.num_tokens = num_tokens
            raise

    def _logits(self, reads: Sequence[Read], last_rows: dict[int, Tensor]) -> Tensor:
        rows = [last_rows[id(read)] for read in reads if read.wants_logits]
        if not rows:
            return torch.empty(0, self._model.num_logits)
        # not all at once: how a product rounds may depend on how many rows it has
        return torch.cat([self._model.logits(row[None]) for row in rows])

    def _read(self, reads: Sequence[Read], give_way: Callable[[], None]) -> dict[int, Tensor]:
        """Each chunk by itself, so that it is read alike whatever else there is."""
        found: dict[int, Tensor] = {}
        for read in reads:
            rows = self._model.extend([torch.tensor(read.token_ids)], [_own(read.state)], give_way)
            found[id(read)] = rows[-1]
        return found

    def _decode(self, reads: Sequence[Read]) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        invariant = [read for read in reads if read.is_invariant]
        for start in range(0, len(invariant), INVARIANT_ROWS):
            block = invariant[start : start + INVARIANT_ROWS]
            rows = self._decoder.step_alone(*_tokens_and_slots(block), INVARIANT_ROWS)
            found |= {id(read): row for read, row in zip(block, rows, strict=True)}
        if others := [read for read in reads if not read.is_invariant]:
            rows = self._decoder.step(*_tokens_and_slots(others))
            found |= {id(read): row for read, row in zip(others, rows, strict=True)}
        return found


def _tokens_and_slots(reads: Sequence[Read]) -> tuple[list[int], list[Slot]]:
    return [read.token_ids[0] for read in reads], [_own(read.state) for read in reads]


def _own(state: object) -> Slot:
    if not isinstance(state, Slot):
        raise TypeError("the ProGen2 generator takes states of its own only")
    return state
