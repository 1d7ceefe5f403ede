"""One forward pass of one sequence: what is wanted of it, and what came out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Esm2Pass:
    """One sequence and the outputs wanted; only those are computed.

    `token_ids` is [n] with BOS and EOS. `mean`, `per_token` and `bos` are taken at each of
    `repr_layers`, which are ascending, unique and in 0..L. `logit_rows` are residue rows: `()`
    none, None all. `attention_maps` are (block, head) pairs. `num_bytes` is the memory the pass
    takes while it runs, results included.
    """

    token_ids: NDArray[np.int64]
    repr_layers: tuple[int, ...] = ()
    mean: bool = False
    per_token: bool = False
    bos: bool = False
    contacts: bool = False
    logit_rows: tuple[int, ...] | None = ()
    attention_profiles: bool = False
    attention_maps: tuple[tuple[int, int], ...] = ()
    num_bytes: int = 0

    @property
    def payload(self) -> "Esm2Pass":
        """What the runner is given: the pass itself."""
        return self

    @property
    def num_tokens(self) -> int:
        """Tokens put through the model, BOS and EOS included."""
        return len(self.token_ids)

    @property
    def num_residues(self) -> int:
        """Tokens between BOS and EOS."""
        return len(self.token_ids) - 2

    @property
    def num_logit_rows(self) -> int:
        """Rows of logits wanted."""
        return self.num_residues if self.logit_rows is None else len(self.logit_rows)

    def watches(self, layer: int) -> bool:
        """Whether the attention probabilities of this 0-based block are read."""
        whole = self.contacts or self.attention_profiles
        return whole or any(layer == wanted for wanted, _ in self.attention_maps)

    def depth(self, num_layers: int) -> int:
        """Blocks that must run, of `num_layers`, to give everything asked for."""
        if self.contacts or self.attention_profiles or self.num_logit_rows:
            return num_layers
        return max((*self.repr_layers, *(layer + 1 for layer, _ in self.attention_maps)), default=0)


@dataclass(frozen=True, eq=False, slots=True)
class Esm2Output:
    """What one pass gave, float32 on the CPU; a field is None when it was not asked for.

    mean, bos            [repr_layers, width]
    per_token            [repr_layers, residues, width]
    contacts             [residues, residues], probabilities
    logits               [rows, 33], raw
    attention_profiles   [blocks, residues]: attention received, averaged over heads and all
                         n = residues + 2 query positions
    attention_maps       [pairs, residues, residues], query by key, in the order of the pairs
    """

    mean: Float32Array | None = None
    per_token: Float32Array | None = None
    bos: Float32Array | None = None
    contacts: Float32Array | None = None
    logits: Float32Array | None = None
    attention_profiles: Float32Array | None = None
    attention_maps: Float32Array | None = None


def require_passes(payloads: Sequence[object]) -> list[Esm2Pass]:
    """The payloads as passes; TypeError when one is anything else."""
    passes = [payload for payload in payloads if isinstance(payload, Esm2Pass)]
    if len(passes) != len(payloads):
        raise TypeError("the ESM-2 runner takes Esm2Pass payloads only")
    return passes


def require_outputs(outputs: Sequence[object]) -> list[Esm2Output]:
    """The runner's results as outputs; TypeError when one is anything else."""
    results = [output for output in outputs if isinstance(output, Esm2Output)]
    if len(results) != len(outputs):
        raise TypeError("an ESM-2 item finishes with Esm2Output results only")
    return results
