"""One word means one device or all of them, and memory is shared between steps and states."""

from pathlib import Path

import pytest
import torch

from primase_server.loading import devices
from primase_server.loading.devices import room_on, visible_devices
from primase_server.models.room import Room
from primase_server.settings import Limits

GIB = 1 << 30


def test_one_device_is_one() -> None:
    assert visible_devices("cpu") == (torch.device("cpu"),)
    assert visible_devices("cuda:1") == (torch.device("cuda:1"),)


def test_cuda_is_all_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert visible_devices("cuda") == (torch.device("cuda:0"), torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RuntimeError, match="torch sees no CUDA device"):
        visible_devices("cuda")


def test_the_fullest_device_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {0: 10 * GIB, 1: 40 * GIB}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 80 * GIB))
    both = visible_devices("cuda:0") + visible_devices("cuda:1")
    assert room_on(both, Limits()) == Room(batch_bytes=3 * GIB, state_bytes=10 * GIB)
    assert room_on(both, Limits(max_state_bytes=GIB)).state_bytes == GIB


def test_a_cpu_has_the_limits_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4194304 kB\nMemAvailable:    2097152 kB\n")
    monkeypatch.setattr(devices, "MEMINFO", meminfo)
    monkeypatch.setattr(devices, "CGROUP", tmp_path)
    cpu = (torch.device("cpu"),)
    assert room_on(cpu, Limits(max_batch_bytes=5)) == Room(batch_bytes=5, state_bytes=GIB)
    assert room_on(cpu, Limits(max_state_bytes=7)).state_bytes == 7
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{GIB // 2}\n")
    assert room_on(cpu, Limits()).state_bytes == GIB
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    assert room_on(cpu, Limits()).state_bytes == GIB
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    assert room_on(cpu, Limits()).state_bytes == (GIB // 2 + GIB // 4) // 2
    meminfo.unlink()
    (tmp_path / "memory.max").unlink()
    assert room_on(cpu, Limits()).state_bytes > 0
