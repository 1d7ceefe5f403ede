"""One reading of one protein: what is asked of it, and what came out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class ProGen2Pass:
    """A protein from terminal to terminal, each token predicted by those before it.

    token_ids: [L + 2], a terminal at either end. `num_bytes` is the memory the pass takes while it
    runs, results included.
    """

    token_ids: Int64Array
    num_bytes: int = 0

    @property
    def payload(self) -> "ProGen2Pass":
        """What the runner is given: the pass itself."""
        return self

    @property
    def num_tokens(self) -> int:
        """Tokens put through the model: the last one is predicted and never read."""
        return len(self.token_ids) - 1

    @property
    def num_residues(self) -> int:
        """Tokens between the terminals."""
        return len(self.token_ids) - 2


@dataclass(frozen=True, eq=False, slots=True)
class ProGen2Output:
    """Natural logarithms.

    residue_log_probs: float32 [L], of each residue among the 25 letters, in order of reading.
    cross_entropy: mean over the L residues and the last terminal, among all tokens.
    """

    residue_log_probs: Float32Array
    cross_entropy: float


def require_passes(payloads: Sequence[object]) -> list[ProGen2Pass]:
    """The payloads as passes; TypeError when one is anything else."""
    passes = [payload for payload in payloads if isinstance(payload, ProGen2Pass)]
    if len(passes) != len(payloads):
        raise TypeError("the ProGen2 runner takes ProGen2Pass payloads only")
    return passes


def require_outputs(outputs: Sequence[object]) -> list[ProGen2Output]:
    """The runner's results as outputs; TypeError when one is anything else."""
    results = [output for output in outputs if isinstance(output, ProGen2Output)]
    if len(results) != len(outputs):
        raise TypeError("a ProGen2 item finishes with ProGen2Output results only")
    return results
