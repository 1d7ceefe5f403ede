"""Which lanes of the decoder are traced: the first few kinds that are used often."""

import pytest
import torch
from torch import Tensor

from primase_server.models.evo2 import traces
from primase_server.models.evo2.traces import Kind, Traces


class Counting:
    """A piece that adds one, and counts how often its Python ran."""

    def __init__(self) -> None:
        self.num_runs = 0
        self.given = torch.zeros(2)

    def __call__(self) -> Tensor:
        self.num_runs += 1
        return self.given.add_(1)


def use(kind: Kind, piece: Counting, times: int) -> Tensor:
    for _ in range(times):
        kind.begin()
        made = kind.run(0, piece, [piece.given])
    return made


def test_a_kind_is_traced_once_it_was_used_often_and_for_all_its_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "TRACED_AFTER", 4)
    kind = Traces().kind(2, is_range=True)
    first, other = Counting(), Counting()
    assert use(kind, first, 6).tolist() == [6, 6]
    assert first.num_runs == 4
    assert use(kind, other, 3).tolist() == [3, 3]
    assert other.num_runs == 0


def test_few_kinds_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "TRACED_AFTER", 1)
    all_traces = Traces()
    pieces = [Counting() for _ in range(traces.MOST_TRACED + 2)]
    for rows, piece in enumerate(pieces):
        use(all_traces.kind(rows, is_range=False), piece, 3)
    assert [piece.num_runs for piece in pieces] == [1] * traces.MOST_TRACED + [3] * 2
    assert all(piece.given.tolist() == [3, 3] for piece in pieces)
    assert all_traces.kind(0, is_range=False) is not all_traces.kind(0, is_range=True)
