"""Whether an Evo 2 model's numbers are known to be right where it is to be served.

With real weights on a GPU the whole self test runs, and decides. On a CPU that takes from minutes
to hours, so that a glance at the beginning must do; `primase doctor --full` runs the whole, and a
pass is remembered. Models that are wrong without their 8-bit projections, by far and without any
other sign, are then not used before the whole test has passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch

from primase_server.loading.devices import CUDA
from primase_server.models.card import WeightsSource
from primase_server.models.evo2 import self_test
from primase_server.models.evo2.self_test import PUBLISHED, Measured
from primase_server.models.evo2.verified import Circumstances, Passes
from primase_server.models.evo2.weights import LoadedEvo2

log = structlog.get_logger()

REAL = (WeightsSource.FILE, WeightsSource.HUB)
"""Sources of weights of which anything was published."""

_HOW = "`primase doctor --full --model NAME=SOURCE` on this machine finds out"


@dataclass(frozen=True)
class Verdict:
    """`verified`: the published loss came out. A `doubt` forbids to serve, a `note` does not."""

    verified: bool = False
    doubt: str = ""
    note: str = ""


def verdict_on(loaded: LoadedEvo2, devices: Sequence[torch.device], weights_dir: Path) -> Verdict:
    """What is known already, or can be found out in the time that loading may take."""
    if loaded.weights.source not in REAL:
        return Verdict()
    here, passes = circumstances(loaded, devices), Passes(weights_dir)
    published = PUBLISHED.get(loaded.variant)
    if passes.find(here) is not None:
        return Verdict(verified=True)
    if published is None:
        return _glance(loaded, "no loss was published for this model")
    if devices[0].type == CUDA:
        return whole_verdict(loaded, here, passes)
    return _glance(loaded, f"the published loss was not looked for here: {_HOW}")


def whole_verdict(loaded: LoadedEvo2, here: Circumstances, passes: Passes) -> Verdict:
    """That of the whole self test of a variant with a published loss; a pass is remembered."""
    published = PUBLISHED[loaded.variant]
    measured = self_test.measure(loaded.model)
    found = (
        f"the self test on {here.device} predicts {measured.accuracy:.1%} of bases "
        f"with a loss of {measured.loss:.4f}"
    )
    log.info("self_test", variant=loaded.variant, loss=measured.loss, accuracy=measured.accuracy)
    if not self_test.agrees(measured, published):
        return Verdict(
            doubt=f"{found}; {published.accuracy:.1%} and {published.loss:.4f} are published"
        )
    _remember(passes, here, measured)
    return Verdict(verified=True, note=f"{found}, as published")


def circumstances(loaded: LoadedEvo2, devices: Sequence[torch.device]) -> Circumstances:
    """What a pass of this model here is a pass of."""
    return Circumstances(
        variant=loaded.variant,
        checksum=loaded.weights.checksum,
        device=", ".join(_device_name(device) for device in devices),
        dtype=str(loaded.model.dtype).removeprefix("torch."),
        projections=loaded.projections.note,
    )


def _glance(loaded: LoadedEvo2, why_not_whole: str) -> Verdict:
    measured = self_test.measure_shortly(loaded.model)
    most = self_test.most_plausible(loaded.variant)
    if not measured.loss <= most:  # nor is a NaN plausible
        return Verdict(
            doubt=f"the first {self_test.SHORT_BASES} bases of the self test give a loss of "
            f"{measured.loss:.3f}; at most {most} is plausible"
        )
    if loaded.model.config.needs_fp8:
        return Verdict(doubt=f"{loaded.variant} is wrong where FP8 is not exact; {why_not_whole}")
    return Verdict(note=f"not verified: {why_not_whole}")


def _remember(passes: Passes, here: Circumstances, measured: Measured) -> None:
    try:
        passes.add(here, measured)
    except OSError as error:
        log.warning("pass_not_remembered", why=error.strerror)


def _device_name(device: torch.device) -> str:
    if device.type == CUDA:
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
