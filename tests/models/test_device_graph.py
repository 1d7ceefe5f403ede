"""The few numbers of rows that work is recorded for, and what a CPU does instead."""

import torch

from primase_server.models.device_graph import filled_up, recorded, replays, sent

CPU = torch.device("cpu")


def test_rows_are_filled_up_to_few_numbers() -> None:
    assert [filled_up(n) for n in (1, 2, 3, 5, 8, 9, 17, 32)] == [1, 2, 4, 8, 8, 16, 32, 32]
    assert [filled_up(n) for n in (33, 64, 65)] == [64, 64, 96]


def test_a_cpu_runs_the_work_itself() -> None:
    def work() -> torch.Tensor:
        return torch.ones(2)

    assert not replays(CPU)
    assert recorded(work, CPU) is work
    values = torch.arange(3)
    assert sent(values, CPU) is values
