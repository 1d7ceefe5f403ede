"""What the NVIDIA driver says of its GPUs, through its own library; nothing where there is none."""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

LIBRARY = "libnvidia-ml.so.1"
SUCCESS = 0
LABELS = ("gpu",)


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _Utilization(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint) for name in ("gpu", "memory")]


# A metric, its help, the call that asks for it, what the call fills, and the metric's own unit.
Read = Callable[[Any], float]
NUMBERS: tuple[tuple[str, str, str, Callable[[], Any], Read], ...] = (
    (
        "gpu_power_usage_watts",
        "Power drawn.",
        "nvmlDeviceGetPowerUsage",
        ctypes.c_uint,
        lambda milliwatts: milliwatts.value / 1000,
    ),
    (
        "gpu_power_limit_watts",
        "Power allowed.",
        "nvmlDeviceGetEnforcedPowerLimit",
        ctypes.c_uint,
        lambda milliwatts: milliwatts.value / 1000,
    ),
    (
        "gpu_total_energy_consumption_joules",
        "Energy drawn since the driver was loaded.",
        "nvmlDeviceGetTotalEnergyConsumption",
        ctypes.c_ulonglong,
        lambda millijoules: millijoules.value / 1000,
    ),
    (
        "gpu_utilization",
        "Share of the time that the GPU was at work, 0 to 1.",
        "nvmlDeviceGetUtilizationRates",
        _Utilization,
        lambda percent: percent.gpu / 100,
    ),
    (
        "gpu_memory_total_bytes",
        "Memory.",
        "nvmlDeviceGetMemoryInfo",
        _Memory,
        lambda memory: float(memory.total),
    ),
    (
        "gpu_memory_used_bytes",
        "Memory in use.",
        "nvmlDeviceGetMemoryInfo",
        _Memory,
        lambda memory: float(memory.used),
    ),
)


class GpuCollector(Collector):
    """One family a number, with a sample a GPU where the driver knows the number."""

    def __init__(self) -> None:
        self._nvml, self._gpus = _open()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the driver now."""
        for name, text, call, make, read in NUMBERS:
            family = GaugeMetricFamily(name, text, labels=LABELS)
            for index, gpu in enumerate(self._gpus):
                found = make()
                if getattr(self._nvml, call)(gpu, ctypes.byref(found)) == SUCCESS:
                    family.add_metric([str(index)], read(found))
            yield family


def _open() -> tuple[Any, list[ctypes.c_void_p]]:
    try:
        nvml = ctypes.CDLL(LIBRARY)
        if nvml.nvmlInit_v2() != SUCCESS:
            return None, []
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    except (OSError, AttributeError):
        return None, []
    return nvml, [gpu for i in range(count.value) if (gpu := _handle(nvml, i)) is not None]


def _handle(nvml: Any, index: int) -> ctypes.c_void_p | None:
    gpu = ctypes.c_void_p()
    found = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(gpu))
    return gpu if found == SUCCESS else None
