"""Traced work goes on from what its tensors hold, and says nothing of torch's plans."""

import warnings

import pytest
import torch
from torch import Tensor

from primase_server.models.cpu_graph import traced


class Counter:
    """Adds up its input in one row of a table."""

    def __init__(self) -> None:
        self.table, self.given, self.num_runs = torch.zeros(3, 2), torch.ones(2), 0
        self.changing = (self.table, self.given)

    def __call__(self) -> Tensor:
        self.num_runs += 1
        row = self.table[1:2]
        twice = row * 2
        twice[:1].add_(self.given * 2)
        row.copy_(twice / 2)
        return twice[0]


def test_the_run_that_is_traced_counts_once_and_all_others_need_no_python() -> None:
    counter = Counter()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        repeat, made = traced(counter, counter.changing)
        assert made.tolist() == [2, 2]
        counter.given.copy_(torch.tensor([1.0, 5.0]))
        assert repeat is not None
        assert [repeat(counter.changing).tolist() for _ in range(3)] == [[4, 12], [6, 22], [8, 32]]
    assert counter.num_runs == 1
    assert counter.table.tolist() == [[0, 0], [4, 16], [0, 0]]


def test_what_was_traced_works_on_other_tensors_too() -> None:
    counter, other = Counter(), Counter()
    with torch.inference_mode():
        repeat, _ = traced(counter, counter.changing)
        assert repeat is not None
        assert repeat(other.changing).tolist() == [2, 2]
    assert other.table.tolist() == counter.table.tolist() == [[0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_without_a_tracer_the_work_is_done_as_it_is(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.jit, "trace", missing)
    counter = Counter()
    repeat, made = traced(counter, counter.changing)
    assert made.tolist() == [2, 2]
    assert repeat is None
    assert counter.num_runs == 1
