"""What is told of GPUs, by a driver that is not there and by one that says what it is told to."""

import ctypes
from collections.abc import Mapping
from typing import Any

import pytest

from primase_gateway import gpus

KNOWN: Mapping[str, Mapping[str, int]] = {
    "nvmlDeviceGetPowerUsage": {"value": 345_678},
    "nvmlDeviceGetEnforcedPowerLimit": {"value": 700_000},
    "nvmlDeviceGetUtilizationRates": {"gpu": 37},
    "nvmlDeviceGetMemoryInfo": {"total": 80 << 30, "used": 3 << 30},
}
NOT_SUPPORTED = 3


class _Driver:
    """Two GPUs, the second of which is lost; nothing is known of their energy."""

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, gpu: Any) -> int:
        return 0 if index == 0 else 15

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)

        def ask(gpu: ctypes.c_void_p, found: Any) -> int:
            if name not in KNOWN:
                return NOT_SUPPORTED
            for field, number in KNOWN[name].items():
                setattr(found._obj, field, number)
            return 0

        return ask


def told() -> dict[str, list[tuple[str, float]]]:
    return {
        family.name: [(sample.labels["gpu"], sample.value) for sample in family.samples]
        for family in gpus.GpuCollector().collect()
    }


def test_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Driver())
    assert told() == {
        "gpu_power_usage_watts": [("0", 345.678)],
        "gpu_power_limit_watts": [("0", 700.0)],
        "gpu_total_energy_consumption_joules": [],
        "gpu_utilization": [("0", 0.37)],
        "gpu_memory_total_bytes": [("0", 80 * 2**30)],
        "gpu_memory_used_bytes": [("0", 3 * 2**30)],
    }


def no_library(name: str) -> None:
    raise OSError(name)


@pytest.mark.parametrize("library", [no_library, lambda name: object()])
def test_no_driver(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert all(samples == [] for samples in told().values())
    assert len(told()) == len(gpus.NUMBERS)
