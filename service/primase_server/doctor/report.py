"""Everything the doctor found."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cpu:
    """Cores that this process may use, threads that the model would, and what they run.

    `linear_kernels` has a line for each way to compute a linear layer, and what its own self test
    found; the chosen one is what `serve` takes unless told.
    """

    num_cores: int
    num_threads: int
    instructions: str
    linear_kernels: tuple[str, ...]
    chosen_linear_kernel: str


@dataclass(frozen=True)
class Device:
    """A device by the name that --device takes, and which of the data types it computes in.

    `errors` are those of ESM-2's self test by data type, `evo2_errors` of Evo 2's and
    `progen2_errors` of ProGen2's; NaN where the numbers were not finite. `projections` is how
    FP8-trained projections would be multiplied.
    """

    name: str
    description: str
    errors: Mapping[str, float]
    evo2_errors: Mapping[str, float]
    progen2_errors: Mapping[str, float]
    projections: str


@dataclass(frozen=True)
class Check:
    """One question, whether all is well, and what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Report:
    """Facts, and checks that must all be ok."""

    versions: Mapping[str, str]
    cpu: Cpu
    devices: tuple[Device, ...]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.ok for check in self.checks)
