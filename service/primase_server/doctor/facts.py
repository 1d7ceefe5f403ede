"""What there is: versions, processor, devices."""

import math
import os
import platform
from collections.abc import Callable
from importlib.metadata import version

import torch

from primase_server.doctor import esm2_self_test, evo2_self_test, progen2_self_test
from primase_server.doctor.report import Cpu, Device
from primase_server.loading.precision import products_for
from primase_server.models import cpu_linear
from primase_server.models.evo2.projections import choose
from primase_server.settings import DATA_TYPES, Settings

OURS = ("primase", "primase-server", "primase-gateway")
DISTRIBUTIONS = (*OURS, "torch", "grpcio", "protobuf", "numpy", "safetensors", "huggingface-hub")
GIBIBYTE = 1 << 30

ErrorOn = Callable[[str, str], float]
"""The self test's error on a device in a data type."""


def versions() -> dict[str, str]:
    """Python, the system, and every dist that the numbers or the wire depend on."""
    python = {"python": platform.python_version(), "system": platform.platform()}
    return python | {name: version(name) for name in DISTRIBUTIONS}


def cpu() -> Cpu:
    """The processor as the model will use it."""
    return Cpu(
        num_cores=_num_cores(),
        num_threads=Settings().num_threads,
        instructions=torch.backends.cpu.get_cpu_capability(),
        linear_kernels=cpu_linear.describe(),
        chosen_linear_kernel=products_for(Settings()).kernel.name,
    )


def devices() -> tuple[Device, ...]:
    """The CPU and every CUDA device, each tried in every data type."""
    return tuple(
        Device(
            name,
            description,
            errors_on(name, esm2_self_test.error_on),
            errors_on(name, evo2_self_test.error_on),
            errors_on(name, progen2_self_test.error_on),
            choose(torch.device(name), needs_fp8=True).note,
        )
        for name, description in _devices().items()
    )


def errors_on(device: str, error_on: ErrorOn) -> dict[str, float]:
    """A self test's error by data type; NaN where the device cannot do it."""
    return {dtype: _error_or_nan(device, dtype, error_on) for dtype in DATA_TYPES}


def _error_or_nan(device: str, dtype: str, error_on: ErrorOn) -> float:
    try:
        return error_on(device, dtype)
    except RuntimeError:
        return math.nan


def _devices() -> dict[str, str]:
    found = {"cpu": platform.processor() or platform.machine()}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / GIBIBYTE
        found[f"cuda:{index}"] = f"{properties.name}, {memory:.0f} GiB"
    return found


def _num_cores() -> int:
    # fewer than the machine has in a container that is bound to some; not every system can tell
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
