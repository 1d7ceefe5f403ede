"""Evo 2 as the scheduler of generation drives it: prompts read in chunks, tokens drawn in slots."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
    """One sequence: a state of its own while the prompt is read, then a slot of the decoder.

    It has neither where a step failed as it drew. chunks, drawn: the tokens read, as they were.
    """

    sequence: SequenceState | None
    max_tokens: int
    slot: int | None = None
    chunks: list[tuple[int, ...]] = field(default_factory=list)
    drawn: "array[int]" = field(default_factory=lambda: array("H"))

    @property
    def is_lost(self) -> bool:
        """Whether its state has to be made again."""
        return self.sequence is None and self.slot is None


@dataclass(frozen=True)
class Again:
    """A read that a sequence whose state was lost has made before."""

    state: Running
    token_ids: tuple[int, ...]
    is_drawn: bool
    is_invariant: bool
    wants_logits: bool = False


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
        return Running(self._model.new_state(max_tokens), max_tokens)

    def fork(self, state: object, max_tokens: int) -> Running:
        """A sequence that goes on by itself, from a prompt that is read."""
        running = _running(state)
        assert running.sequence is not None
        return Running(running.sequence.fork(), max_tokens, chunks=[*running.chunks])

    def release(self, state: object) -> None:
        """The sequence has ended."""
        self._lose(_running(state))

    @torch.inference_mode()
    def step(self, reads: Sequence[Read], give_way: Callable[[], None]) -> Tensor:
        """[reads that want logits, vocabulary] float32, in their order; every state moves on.

        Between the blocks of a chunk it calls `give_way`. An out-of-memory error of torch passes
        through. When this raises, no sequence has moved on: those that were reading a chunk are
        brought back, and the states of those that drew are gone, for the next step to make again.
        """
        chunks = [read for read in reads if not read.is_drawn]
        drawn = [read for read in reads if read.is_drawn]
        marks = [(sequence, sequence.mark()) for sequence in map(_sequence, chunks)]
        try:
            self._make_again(drawn, give_way)
            found = self._read(chunks, give_way)
            # last, since it moves tensors in place
            found |= self._decode(drawn)
            rows = [found[id(read)] for read in reads if read.wants_logits]
            result = torch.stack(rows) if rows else self._nothing()
        except BaseException:
            for sequence, mark in marks:
                sequence.back_to(mark)
            for read in drawn:
                self._lose(_running(read.state))
            raise
        for read in chunks:
            _running(read.state).chunks.append(tuple(read.token_ids))
        for read in drawn:
            _running(read.state).drawn.extend(read.token_ids)
        return result

    def _nothing(self) -> Tensor:
        return torch.empty(0, self._model.config.vocabulary_size)

    def _lose(self, running: Running) -> None:
        if running.slot is not None:
            self._decoder.free(running.slot)
        running.sequence = running.slot = None

    def _make_again(self, drawn: Sequence[Read], give_way: Callable[[], None]) -> None:
        """The states that a step that failed has cost, read as they were the first time."""
        lost = [read for read in drawn if _running(read.state).is_lost]
        for read in lost:
            running = _running(read.state)
            running.sequence = self._model.new_state(running.max_tokens)
            for chunk in running.chunks:
                self._read([Again(running, chunk, False, read.is_invariant)], give_way)
        most = max((len(_running(read.state).drawn) for read in lost), default=0)
        for index in range(most):
            self._decode(
                [
                    Again(running, (running.drawn[index],), True, read.is_invariant)
                    for read in lost
                    if index < len((running := _running(read.state)).drawn)
                ]
            )
            give_way()

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
        rows = self._model.extend(
            [torch.tensor(read.token_ids) for read in reads],
            [_sequence(read) for read in reads],
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


def _sequence(read: Read) -> SequenceState:
    sequence = _running(read.state).sequence
    assert sequence is not None
    return sequence


def _running(state: object) -> Running:
    if not isinstance(state, Running):
        raise TypeError("the Evo 2 generator takes states of its own only")
    return state
