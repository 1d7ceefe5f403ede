"""Decoding: the next token of many sequences at once, their states side by side in slots.

The same formulas as `model.py` for a single token, where little is computed and much is called: so
everything that sequences share is one operation for all of them, on tensors that stay where they
are. A step is a row of pieces with an attention between any two of them. Pieces are recorded on a
GPU, once for each number of rows, and replayed; attention (`slot_attention.py`) never is. Nothing
here waits for the device.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from threading import Lock

import torch
from torch import Tensor

from primase_server.models.device_graph import filled_up, recorded, replays
from primase_server.models.evo2.lanes import Lane, Mixing, device_of, pieces_of
from primase_server.models.evo2.model import AttentionMixer, Block, Evo2
from primase_server.models.evo2.slot_attention import Attending
from primase_server.models.evo2.slot_filters import Filtering
from primase_server.models.evo2.slot_rows import range_of
from primase_server.models.evo2.state import SequenceState
from primase_server.models.evo2.traces import Traces

_MOST_LANES = 64
_SLOTS_AT_ONCE = 8
_RECORDED_SLOTS_AT_ONCE = 32  # to record anew is dearer than to hold some that nobody needs yet

Slots = tuple[int, ...]


class Decoder:
    """Slots for sequences that are continued token by token.

    `free` may be called from any thread, also during a step in which the slot has no part.
    """

    def __init__(self, model: Evo2) -> None:
        self._model = model
        self._devices = tuple(dict.fromkeys(map(device_of, model.blocks)))
        self._rotaries = _distinct_rotaries(model)
        mixings = [self._mixing(block) for block in model.blocks]
        self._filterings = [mixing for mixing in mixings if isinstance(mixing, Filtering)]
        self._attendings = [mixing for mixing in mixings if isinstance(mixing, Attending)]
        self._pieces = pieces_of(model, mixings)
        self._is_recorded = len(self._devices) == 1 and replays(model.device)
        self._lanes: dict[tuple[int, int | None], Lane] = {}
        self._traces = Traces()
        self._positions: list[int] = []
        self._free: list[int] = []
        self._live: set[int] = set()
        self._books, self._tables = Lock(), Lock()
        self._resize(self._slots_at_once)

    @property
    def num_slots(self) -> int:
        """Slots there are, free ones too; one more is nobody's, to fill up rows."""
        return len(self._positions) - 1

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot, keys and values not among them."""
        return sum(filtering.slot_bytes for filtering in self._filterings)

    def put(self, state: SequenceState) -> int:
        """Give a sequence a slot; its state must not be used any more."""
        with self._tables:
            if not self._free:
                self._resize(self.num_slots + self._slots_at_once)
            with self._books:
                slot = heappop(self._free)
                self._live.add(slot)
        self._positions[slot] = state.num_tokens
        try:
            for filtering in self._filterings:
                filtering.put(slot, state.convolution(filtering.layer), state.num_tokens)
        except BaseException:
            self.free(slot)
            raise
        for attending in self._attendings:
            attending.put(slot, state.key_values(attending.layer))
        return slot

    def free(self, slot: int) -> None:
        """Nobody will ask for the slot again. The last one gives back the room of all others."""
        for attending in self._attendings:
            attending.drop(slot)
        with self._books:
            self._live.discard(slot)
            heappush(self._free, slot)
        if self._tables.acquire(blocking=False):  # else whoever has them does it
            self._shrink()
            self._tables.release()

    @torch.inference_mode()
    def step(
        self, token_ids: Sequence[int], slots: Sequence[int], block_rows: int | None = None
    ) -> list[Tensor]:
        """Read one token in each slot: the logits after it, [vocabulary] float32 of each.

        With `block_rows` they are computed so many rows at a time, filled up: the same bits,
        whatever else there is. A slot may be named once.
        """
        token_of = dict(zip(slots, token_ids, strict=True))
        found: dict[int, Tensor] = {}
        with self._tables:
            for placed in self._placed(slots, block_rows):
                logits = self._step(placed, token_of)
                found |= dict(zip(placed, logits.unbind(), strict=True))
            for slot in slots:
                self._positions[slot] += 1
            self._shrink()
        return [found[slot] for slot in slots]

    def _step(self, placed: Slots, token_of: dict[int, int]) -> Tensor:
        view = None if self._is_recorded else range_of(placed)
        lane = self._lane(len(placed), view)
        positions = [self._positions[slot] for slot in placed]
        lane.load(torch.tensor([[token_of.get(slot, 0) for slot in placed], placed, positions]))
        owned = [slot if slot in token_of else self.num_slots for slot in placed]
        for index, attending in enumerate(self._attendings):
            attending.attend(qkv := lane.run(index), owned, lane.rows[qkv.device].mixed)
        logits = lane.run(-1)
        return logits.clone() if self._is_recorded else logits

    def _placed(self, slots: Sequence[int], block_rows: int | None) -> Iterator[Slots]:
        """The slots of each step, in rows; those of nobody fill up and are left to themselves."""
        ordered = sorted(slots)
        if self._is_recorded:
            most = block_rows or filled_up(len(slots))
            yield from self._filled(ordered, most)
        elif block_rows is None:
            yield self._span(ordered, ordered[0], ordered[-1] + 1, 2 * len(slots))
        else:
            rest: list[int] = []
            for number in dict.fromkeys(slot // block_rows for slot in ordered):
                first = number * block_rows
                block = [slot for slot in ordered if slot // block_rows == number]
                span = self._span(block, first, first + block_rows, block_rows)
                if len(span) == block_rows:
                    yield span
                else:
                    rest += block
            yield from self._filled(rest, block_rows)

    def _span(self, slots: Sequence[int], first: int, stop: int, most: int) -> Slots:
        """All slots in between, where no other sequence is and they are not too many.

        A range of slots is worked on where it lies, without copies.
        """
        others = self._live.intersection(range(first, stop)).difference(slots)
        if others or stop - first > most or stop > self.num_slots:
            return tuple(slots)
        return tuple(range(first, stop))

    def _filled(self, slots: Sequence[int], num_rows: int) -> Iterator[Slots]:
        for start in range(0, len(slots), num_rows):
            some = slots[start : start + num_rows]
            yield (*some, *(self.num_slots for _ in range(num_rows - len(some))))

    def _lane(self, num_rows: int, view: slice | None) -> Lane:
        key = num_rows, None if view is None else view.start
        if (lane := self._lanes.get(key)) is None:
            if len(self._lanes) == _MOST_LANES:
                self._drop_lanes()
            kind = None
            if self._model.device.type == "cpu" and len(self._devices) == 1:
                kind = self._traces.kind(num_rows, is_range=view is not None)
            lane = Lane(self._model, num_rows, self._devices, view, self._filterings, kind)
            nobody = [[0] * num_rows, [self.num_slots] * num_rows, [0] * num_rows]
            lane.load(torch.tensor(nobody))
            lane.turn(self._rotaries)
            for piece in self._pieces:
                work = lane.work(piece, self._rotaries)
                lane.pieces.append(recorded(work, self._devices[0]) if self._is_recorded else work)
            self._lanes[key] = lane
        return lane

    def _drop_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.pieces.clear()  # which know it in their turn, or it would wait for the collector
        self._lanes.clear()

    @property
    def _slots_at_once(self) -> int:
        return _RECORDED_SLOTS_AT_ONCE if self._is_recorded else _SLOTS_AT_ONCE

    def _shrink(self) -> None:
        if not self._live and self.num_slots > self._slots_at_once:
            self._resize(self._slots_at_once)

    def _resize(self, num_slots: int) -> None:
        first = max(0, self.num_slots)
        self._drop_lanes()  # they are of the tensors before
        for filtering in self._filterings:
            filtering.resize(num_slots + 1)
        self._positions = [*self._positions[:first], *[0] * (num_slots + 1)][: num_slots + 1]
        with self._books:
            self._free += range(first, num_slots)
            self._free = [slot for slot in self._free if slot < num_slots]
            heapify(self._free)

    def _mixing(self, block: Block) -> Mixing:
        mixer = block.mixer
        if isinstance(mixer, AttentionMixer):
            return Attending(mixer, _rotary_index(mixer, self._rotaries))
        return Filtering(mixer, self._model.new_state().convolution(block.layer))


def _distinct_rotaries(model: Evo2) -> list[Tensor]:
    """The frequencies of all attention blocks, each once on a device: mostly there is one."""
    distinct: list[Tensor] = []
    for block in model.blocks:
        if isinstance(block.mixer, AttentionMixer):
            inv_freq = block.mixer.inv_freq
            if not any(_is_same(inv_freq, known) for known in distinct):
                distinct.append(inv_freq)
    return distinct


def _rotary_index(mixer: AttentionMixer, rotaries: Sequence[Tensor]) -> int:
    """Of its frequencies among those on its device."""
    here = [known for known in rotaries if known.device == mixer.inv_freq.device]
    return next(i for i, known in enumerate(here) if _is_same(known, mixer.inv_freq))


def _is_same(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and torch.equal(a, b)
