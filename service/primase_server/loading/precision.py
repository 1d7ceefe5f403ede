"""In which type of numbers a family computes on a device, and by which products."""

from collections.abc import Mapping

import torch

from primase_server.models import cpu_linear
from primase_server.models.families import ESM2, EVO2, PROGEN2, Family
from primase_server.settings import AUTO, CPU, FLOAT32, Settings

ON_GPU: Mapping[str, str] = {EVO2.name: "bfloat16", PROGEN2.name: "float16"}
"""As Evo 2 was trained, and as upstream runs ProGen2."""


def dtype_name(family: Family, settings: Settings) -> str:
    """The operator's choice; else float32, and 16 bits on a GPU for what generates."""
    if settings.dtype != AUTO:
        return settings.dtype
    return FLOAT32 if settings.device == CPU else ON_GPU.get(family.name, FLOAT32)


def dtype_of(family: Family, settings: Settings) -> torch.dtype:
    """The same as torch's."""
    found: torch.dtype = getattr(torch, dtype_name(family, settings))
    return found


def products_for(settings: Settings, family: Family = ESM2) -> cpu_linear.Chosen:
    """The kernel of the linear products: the operator's choice on a CPU in float32, else torch's.

    8-bit weights serve only where the operator named them, so no dialect answers from them unasked;
    and not Evo 2, whose error in 8 bits is not measured. Its weights are published in 16 bits.
    """
    dtype = dtype_name(family, settings)
    if dtype != FLOAT32:
        note = f"products of the blocks in {dtype}, everything else in float32"
        return cpu_linear.Chosen(cpu_linear.PLAIN, note)
    if settings.device != CPU:
        return cpu_linear.Chosen(cpu_linear.PLAIN, cpu_linear.PLAIN.note)
    wanted = settings.cpu_linear
    if family is EVO2 and wanted in (cpu_linear.AUTO, cpu_linear.INT8.name):
        wanted = cpu_linear.HALF.name
    return cpu_linear.choose(wanted)
