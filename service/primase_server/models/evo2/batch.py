"""Chunks of several sequences laid end to end, each going on from its own past."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from primase_server.models.evo2.state import SequenceState


@dataclass(frozen=True, eq=False)
class Run:
    """Neighbouring sequences whose chunks have one length, computed side by side.

    `rows` are theirs in the matrix of the batch, [len(states) * length, ...].
    """

    states: Sequence[SequenceState]
    length: int
    rows: slice

    def split(self, x: Tensor) -> Tensor:
        """Their rows of x: [rows, ...] as [sequences, length, ...]."""
        shape = (len(self.states), self.length, *x.shape[1:])
        return x[self.rows].view(shape)


@dataclass(frozen=True, eq=False)
class Batch:
    """token_ids, positions: [rows]; runs cover every row, in order."""

    token_ids: Tensor
    positions: Tensor
    runs: Sequence[Run]

    def to(self, device: torch.device) -> "Batch":
        """The same, with its tensors on another device."""
        return Batch(self.token_ids.to(device), self.positions.to(device), self.runs)


def lay_out(
    token_ids: Sequence[Tensor], states: Sequence[SequenceState], device: torch.device
) -> Batch:
    """Chunks of at least one token, and what was read before each."""
    runs, start = [], 0
    pairs = zip(token_ids, states, strict=True)
    for length, members in groupby(pairs, key=lambda pair: len(pair[0])):
        run_states = [state for _, state in members]
        stop = start + length * len(run_states)
        runs.append(Run(run_states, length, slice(start, stop)))
        start = stop
    positions = [
        torch.arange(state.num_tokens, state.num_tokens + len(ids))
        for ids, state in zip(token_ids, states, strict=True)
    ]
    return Batch(torch.cat(list(token_ids)).to(device), torch.cat(positions).to(device), runs)
