"""Evo 2 as the scheduler of generation drives it: prompts read in chunks, tokens drawn in slots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from primase_server.models.device import works
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.decoder import Decoder
from primase_server.models.evo2.model import Everything, Evo2
from primase_server.models.evo2.served import default_chunk_tokens
from primase_server.models.evo2.state import SequenceState, state_bytes
from primase_server.models.generation_read import Read

INVARIANT_ROWS = 8
"""Sequences whose numbers may not depend on others are decoded so many at a time, filled up."""


@dataclass(eq=False)
class Running:
    """One sequence: a state of its own while the prompt is read, then a slot of the decoder."""

    sequence: SequenceState | None
    slot: int | None = None


class Evo2Generator:
    """One loaded model; `step` is to be called from one thread at a time."""

    out_of_memory_errors = (torch.OutOfMemoryError,)

    def __init__(self, model: Evo2) -> None:
        self._model = model
        self._decoder = Decoder(model)
        self._slot_bytes = self._decoder.slot_bytes
        self.chunk_tokens = default_chunk_tokens(model.device.type)

    def device_works(self) -> bool:
        """Whether anything can still be run, on every device that holds a part of the model."""
        return all(map(works, {block.device for block in self._model.blocks}))

    def sequence_bytes(self, num_tokens: int) -> int:
        """Bytes of state of one sequence of that length, while it is read and while it is drawn.

        Its slot is one of a few that are made at once, and given back once nobody has any.
        """
        config, dtype_bytes = self._model.config, self._model.dtype.itemsize
        filters = state_bytes(config, 0, dtype_bytes)
        keys_values = state_bytes(config, num_tokens, dtype_bytes) - filters
        return keys_values + max(filters, self._slot_bytes)

    def new_state(self, max_tokens: int) -> Running:
        """A sequence of which nothing is read, with room for so many tokens."""
        return Running(self._model.new_state(max_tokens))

    def fork(self, state: object, max_tokens: int) -> Running:
        """A sequence that goes on by itself, from a prompt that is read."""
        running = _running(state)
        assert running.sequence is not None
        return Running(running.sequence.fork())

    def release(self, state: object) -> None:
        """The sequence has ended."""
        running = _running(state)
        if running.slot is not None:
            self._decoder.free(running.slot)
        running.sequence = running.slot = None

    @torch.inference_mode()
    def step(self, reads: Sequence[Read], give_way: Callable[[], None]) -> Tensor:
        """[reads that want logits, vocabulary] float32, in their order; every state moves on.

        Between the blocks of a chunk it calls `give_way`. An out-of-memory error of torch passes
        through.
        """
        chunks = [read for read in reads if not read.is_drawn]
        drawn = [read for read in reads if read.is_drawn]
        found = self._read(chunks, give_way) | self._decode(drawn)
        rows = [found[id(read)] for read in reads if read.wants_logits]
        return torch.stack(rows) if rows else torch.empty(0, self._model.config.vocabulary_size)

    def _read(self, reads: Sequence[Read], give_way: Callable[[], None]) -> dict[int, Tensor]:
        """Chunks whose numbers may not depend on others each by itself, the rest together."""
        others = [read for read in reads if not read.is_invariant]
        groups = [[read] for read in reads if read.is_invariant] + ([others] if others else [])
        found: dict[int, Tensor] = {}
        for group in groups:
            rows = self._extend(group, give_way)
            for read, of_read in zip(group, rows, strict=True):
                if read.wants_logits:
                    found[id(read)] = self._model.logits(of_read[-1:])[0]
        return found

    def _extend(self, reads: Sequence[Read], give_way: Callable[[], None]) -> tuple[Tensor, ...]:
        states = [_running(read.state).sequence for read in reads]
        rows = self._model.extend(
            [torch.tensor(read.token_ids) for read in reads],
            [state for state in states if state is not None],
            GivingWay(self._model.config, give_way),
        )
        assert rows is not None
        return tuple(rows.split([len(read.token_ids) for read in reads]))

    def _decode(self, reads: Sequence[Read]) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        for is_invariant, block_rows in ((True, INVARIANT_ROWS), (False, None)):
            some = [read for read in reads if read.is_invariant is is_invariant]
            if some:
                slots = [self._slot(_running(read.state)) for read in some]
                token_ids = [read.token_ids[0] for read in some]
                logits = self._decoder.step(token_ids, slots, block_rows)
                found |= {id(read): row for read, row in zip(some, logits, strict=True)}
        return found

    def _slot(self, running: Running) -> int:
        if running.slot is None:
            assert running.sequence is not None
            running.slot, running.sequence = self._decoder.put(running.sequence), None
        return running.slot


class GivingWay(Everything):
    """An observer that wants nothing, and gives way before each block."""

    def __init__(self, config: Evo2Config, give_way: Callable[[], None]) -> None:
        super().__init__(config)
        self._give_way = give_way

    def wants(self, name: str) -> bool:
        """Nothing."""
        if name.endswith(".pre_norm"):
            self._give_way()
        return False


def _running(state: object) -> Running:
    if not isinstance(state, Running):
        raise TypeError("the Evo 2 generator takes states of its own only")
    return state
