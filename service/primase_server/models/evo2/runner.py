"""Runs passes of Evo 2 on one device."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from primase_server.errors import PrecisionUnverified
from primase_server.models.card import Layer, ModelCard, Weights
from primase_server.models.device import works
from primase_server.models.evo2 import cost
from primase_server.models.evo2.collector import Collector, Kept, keep_on
from primase_server.models.evo2.config import Evo2Config, variant_of
from primase_server.models.evo2.layers import FINAL_NORM, LOGITS, layer_table
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.passes import (
    Carry,
    Evo2Output,
    Evo2Pass,
    Read,
    ReadOutput,
    require_passes,
)
from primase_server.models.evo2.predictions import Prediction, predict
from primase_server.models.evo2.served import Evo2Served, default_chunk_tokens
from primase_server.models.evo2.state import SequenceState
from primase_server.models.evo2.tokens import Tokens, tokenize

FAMILY = "evo2"

OUTPUTS = ("generate", "layers", "score", "variants", "scan")
"""What a model of this family answers, for GetModel."""

_SELF_CHECK_SEQUENCE = "ACGTTGCAAGTCCGATNacgt" * 8  # longer than the taps of any filter


class Evo2Runner:
    """One loaded model; `run` is to be called from one thread at a time.

    `precision_note` is what GetModel says of its numbers, `variant` the official name of its shape
    where that is known better than from the shape. `out_of_memory_errors` are what the
    device raises when a batch does not fit it.
    """

    out_of_memory_errors = (torch.OutOfMemoryError,)

    def __init__(
        self, model: Evo2, weights: Weights, precision_note: str = "", variant: str = ""
    ) -> None:
        self.model = model
        self.variant = variant or variant_of(model.config)
        self.weights = weights
        self.precision_note = precision_note

    @property
    def config(self) -> Evo2Config:
        """Shape of the model."""
        return self.model.config

    @property
    def served(self) -> Evo2Served:
        """What the work items need to know of this model."""
        device = self.model.device.type
        return Evo2Served(
            self.config,
            dtype_bytes=self.model.dtype.itemsize,
            chunk_tokens=default_chunk_tokens(device),
            max_bases=self.config.max_tokens,
        )

    @torch.inference_mode()
    def run(
        self, payloads: Sequence[object], give_way: Callable[[], None] = keep_on
    ) -> list[Evo2Output]:
        """One output for each Evo2Pass, in order; every sequence moves on by its chunk.

        Between blocks it calls `give_way`, which may run other passes. When this raises, no
        sequence has moved on: their states are gone, and the next pass makes them again from the
        tokens read before. An out-of-memory error of torch passes through.
        """
        passes = require_passes(payloads)
        reads = [read for work in passes for read in work.reads]
        try:
            done = self._run_reads(reads, give_way)
        except BaseException:
            for read in reads:
                read.carry.state = None
            raise
        for read in reads:
            done[read].commit(read)
        return [Evo2Output(tuple(done[read].output for read in work.reads)) for work in passes]

    def device_works(self) -> bool:
        """Whether anything can still be run, on every device that holds a part of the model."""
        return all(map(works, {block.device for block in self.model.blocks}))

    def workspace_bytes(self, work: Evo2Pass) -> int:
        """Peak bytes of a pass while it runs, its results included, states not."""
        return self.served.workspace_bytes(work)

    def cost(self, work: Evo2Pass) -> int:
        """Floating-point operations of a pass."""
        return cost.flops(self.config, work)

    def self_check(self) -> None:
        """Raise PrecisionUnverified when the model's numbers on a short sequence are not finite."""
        read = Read(Carry(), tokenize(_SELF_CHECK_SEQUENCE), (FINAL_NORM, LOGITS), is_last=True)
        [output] = self.run([Evo2Pass((read,))])
        if not all(np.isfinite(rows).all() for rows in output.reads[0].layers.values()):
            raise PrecisionUnverified("the model gives numbers that are not finite")

    def card(self, name: str) -> ModelCard:
        """Everything GetModel says of this model, served as `name`."""
        return ModelCard(
            name=name,
            family=FAMILY,
            variant=self.variant,
            num_parameters=self.config.num_parameters,
            layers=tuple(
                Layer(layer.name, index, layer.width)
                for index, layer in enumerate(layer_table(self.config).canonical)
            ),
            num_heads=self.config.num_heads,
            weights=self.weights,
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=", ".join(dict.fromkeys(str(block.device) for block in self.model.blocks)),
            outputs=OUTPUTS,
            precision_note=self.precision_note,
            max_sequence_tokens=self.config.max_tokens,
        )

    def _run_reads(
        self, reads: Sequence[Read], give_way: Callable[[], None]
    ) -> Mapping[Read, "_Done"]:
        # forks first: the sequence that a read begins as may move on in the same pass
        for read in reads:
            _fork(read.carry)
        for read in reads:
            self._require_state(read, give_way)
        done: dict[Read, _Done] = {}
        for depth, piece in self._pieces(reads):
            done.update(self._run_piece(piece, Collector(piece, depth, give_way)))
        return done

    def _run_piece(
        self, reads: Sequence[Read], collector: Collector
    ) -> Iterator[tuple[Read, "_Done"]]:
        rows = self._extend([read.token_ids for read in reads], _states(reads), collector)
        if rows is not None:
            collector.take_logits(self.model.logits, rows)
        for kept in collector.kept:
            yield kept.read, _Done.of(kept, self._predict(kept, rows))

    def _predict(self, kept: Kept, rows: Tensor | None) -> Prediction | None:
        if rows is None or not kept.read.score:
            return None
        return predict(self.model.logits, rows[kept.rows], kept.read)

    def _extend(
        self, chunks: Sequence[Tokens], states: Sequence[SequenceState], collector: Collector
    ) -> Tensor | None:
        device = self.model.device
        token_ids = [torch.from_numpy(chunk.astype(np.int64)).to(device) for chunk in chunks]
        return self.model.extend(token_ids, states, collector)

    def _require_state(self, read: Read, give_way: Callable[[], None]) -> None:
        """A new state for a new sequence, or one lost with a step that failed, made again."""
        carry = read.carry
        if carry.state is not None:
            return
        state = self.model.new_state()
        lost = np.concatenate([np.zeros(0, dtype=np.uint8), *carry.chunks])
        depth = self._depth(read)
        for start in range(0, len(lost), self.served.chunk_tokens):
            chunk = lost[start : start + self.served.chunk_tokens]
            self._extend([chunk], [state], Collector((), depth, give_way))
        carry.state = state

    def _depth(self, read: Read) -> int:
        if read.score:
            return self.config.num_layers + 1
        return layer_table(self.config).depth(read.taps)

    def _pieces(self, reads: Sequence[Read]) -> Iterator[tuple[int, list[Read]]]:
        """Reads that run together: those of equal depth, on a CPU a chunk's tokens at a time."""
        by_depth: defaultdict[int, list[Read]] = defaultdict(list)
        for read in reads:
            by_depth[self._depth(read)].append(read)
        most_tokens = self.served.chunk_tokens
        for depth, group in by_depth.items():
            piece: list[Read] = []
            num_tokens = 0
            for read in group:
                if piece and num_tokens + len(read.token_ids) > most_tokens:
                    yield depth, piece
                    piece, num_tokens = [], 0
                piece.append(read)
                num_tokens += len(read.token_ids)
            yield depth, piece


@dataclass(frozen=True, eq=False)
class _Done:
    """A read that is through, before its sequence is moved on."""

    output: ReadOutput
    kept: Kept
    prediction: Prediction | None

    @classmethod
    def of(cls, kept: Kept, prediction: Prediction | None) -> "_Done":
        scores = None if prediction is None else prediction.scores()
        return cls(ReadOutput(kept.layers(), scores), kept, prediction)

    def commit(self, read: Read) -> None:
        """Move the sequence on; after its last chunk nothing of it is held."""
        carry = read.carry
        if read.is_last:
            carry.state, carry.next_log_probs, carry.pools = None, None, {}
            carry.chunks.clear()
            return
        carry.chunks.append(read.token_ids)
        carry.pools = self.kept.pools
        if self.prediction is not None:
            carry.next_log_probs = self.prediction.next_log_probs


def _fork(carry: Carry) -> None:
    """Begin where the parent is now, unless this has begun already."""
    parent, carry.parent = carry.parent, None
    if parent is not None:
        carry.chunks = list(parent.chunks)
        carry.next_log_probs = parent.next_log_probs
        carry.state = None if parent.state is None else parent.state.fork()


def _states(reads: Sequence[Read]) -> list[SequenceState]:
    return [read.carry.state for read in reads if read.carry.state is not None]
