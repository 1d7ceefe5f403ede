"""Variants: log p(new) - log p(old) of substitutions in a sequence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import InvalidSequence
from primase_server.models.esm2.alphabet import STANDARD_20, STANDARD_COLUMNS, tokenize_residues
from primase_server.models.esm2.cost import FLOAT32_BYTES
from primase_server.models.esm2.marginals import Marginals, Query
from primase_server.models.esm2.passes import Esm2Pass, Float32Array
from primase_server.models.esm2.probabilities import Float64Array
from primase_server.models.esm2.score import is_standard
from primase_server.models.esm2.served import Esm2Served
from primase_server.models.esm2.substitutions import Substitution, read_variants

_NUM_COLUMNS = len(STANDARD_20)
_VARIANT_BYTES = 256  # the parsed substitutions of a variant and its text


class VariantMethod(Enum):
    """WILDTYPE_MARGINAL reads one unmasked pass.

    MASKED_MARGINAL reads each position from a pass that masks it.
    """

    WILDTYPE_MARGINAL = "wildtype_marginal"
    MASKED_MARGINAL = "masked_marginal"


class MultiMutant(Enum):
    """How masked marginals treat a variant of several substitutions.

    WILDTYPE_FILL masks one position at a time, the others wild type (fair-esm's script,
    ProteinGym); MASK_ALL masks all its positions together (Meier et al., 2021). Both sum.
    """

    WILDTYPE_FILL = "wildtype_fill"
    MASK_ALL = "mask_all"


@dataclass(frozen=True, eq=False)
class VariantsResult:
    """Scores, above 0 where the model finds a variant likelier than the wild type.

    `scores` is [variants], in the order asked. For a full scan it is None and `scan` is [L, 20],
    columns as `STANDARD_20`: 0 at the wild type, NaN in the rows of letters outside the 20.
    """

    method: VariantMethod
    multi_mutant: MultiMutant
    variants: tuple[str, ...]
    scores: Float32Array | None
    scan: Float32Array | None


@dataclass(frozen=True)
class _Masking:
    """Which positions are masked when a position is read."""

    method: VariantMethod
    multi_mutant: MultiMutant

    def queries(self, sites: Sequence[tuple[int, ...]]) -> list[Query]:
        """What must be read for variants that mutate these sites, each thing once."""
        positions = tuple(sorted({position for variant in sites for position in variant}))
        if self.method is VariantMethod.WILDTYPE_MARGINAL:
            return [Query(masked=(), read=positions)]
        if self.multi_mutant is MultiMutant.WILDTYPE_FILL:
            return [Query(masked=(position,), read=(position,)) for position in positions]
        return [Query(masked=variant, read=variant) for variant in dict.fromkeys(sites)]

    def masked(self, sites: tuple[int, ...], position: int) -> tuple[int, ...]:
        """The masks under which a variant of these sites reads one of them."""
        if self.method is VariantMethod.WILDTYPE_MARGINAL:
            return ()
        return (position,) if self.multi_mutant is MultiMutant.WILDTYPE_FILL else sites


@dataclass(frozen=True, eq=False)
class VariantsItem:
    """The variants of one wild type, over one set of passes that they share.

    Above 1,022 residues the wild type is read in overlapping windows. A score is a difference of
    two log-probabilities, so it is the same over 20 columns as over 33.
    """

    masking: _Masking
    names: tuple[str, ...]
    variants: Sequence[tuple[Substitution, ...]] | None
    marginals: Marginals

    @classmethod
    def build(
        cls,
        served: Esm2Served,
        sequence: str,
        variants: Sequence[str] | None = None,
        method: VariantMethod = VariantMethod.MASKED_MARGINAL,
        multi_mutant: MultiMutant = MultiMutant.WILDTYPE_FILL,
    ) -> "VariantsItem":
        """Check everything; without variants, every single substitution is scored.

        Variants are texts such as `A42G` or `A42G:K50R`, counted from 1. Raises InvalidSequence,
        InvalidRequest naming each bad variant, and OutputUnavailable.
        """
        token_ids = tokenize_residues(sequence)
        served.require(logits=True)
        masking = _Masking(method, multi_mutant)
        parsed = read_variants(sequence, variants) if variants else None
        sites = [_sites(variant) for variant in parsed] if parsed else _scan_sites(token_ids)
        marginals = Marginals.over(served, token_ids, masking.queries(sites))
        return cls(masking, tuple(variants or ()), parsed, marginals)

    @property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        return self.marginals.num_tokens

    @property
    def num_bytes(self) -> int:
        """Bytes of the variants, of the outputs that wait for the last one, and of the result."""
        scan_bytes = len(self.marginals.residue_ids) * _NUM_COLUMNS * FLOAT32_BYTES
        result_bytes = len(self.names) * _VARIANT_BYTES if self.names else scan_bytes
        return self.marginals.num_output_bytes + result_bytes

    def passes(self) -> Iterator[Esm2Pass]:
        """The shared passes."""
        return self.marginals.passes()

    def finish(self, outputs: Sequence[object]) -> VariantsResult:
        """The scores, from the outputs of the passes."""
        rows = self._rows(outputs)
        return VariantsResult(
            method=self.masking.method,
            multi_mutant=self.masking.multi_mutant,
            variants=self.names,
            scores=None if self.variants is None else self._scores(rows, self.variants),
            scan=self._scan(rows) if self.variants is None else None,
        )

    def _rows(self, outputs: Sequence[object]) -> dict[tuple[tuple[int, ...], int], Float64Array]:
        # (masked, position) -> log p(residue) - log p(wild type): [20]
        rows = {}
        tables = self.marginals.log_probabilities(outputs)
        for query, table in zip(self.marginals.queries, tables, strict=True):
            for position, row in zip(query.read, table, strict=True):
                column = self.marginals.residue_ids[position] - STANDARD_COLUMNS.start
                rows[query.masked, position] = row - row[column]
        return rows

    def _scores(
        self,
        rows: dict[tuple[tuple[int, ...], int], Float64Array],
        variants: Sequence[tuple[Substitution, ...]],
    ) -> Float32Array:
        scores = np.zeros(len(variants), dtype=np.float32)
        for index, variant in enumerate(variants):
            sites = _sites(variant)
            scores[index] = sum(
                rows[self.masking.masked(sites, part.position), part.position][
                    STANDARD_20.index(part.new)
                ]
                for part in variant
            )
        return scores

    def _scan(self, rows: dict[tuple[tuple[int, ...], int], Float64Array]) -> Float32Array:
        scan = np.full((len(self.marginals.residue_ids), _NUM_COLUMNS), np.nan, dtype=np.float32)
        for (_, position), row in rows.items():
            scan[position] = row
        return scan


def _sites(variant: tuple[Substitution, ...]) -> tuple[int, ...]:
    return tuple(part.position for part in variant)


def _scan_sites(token_ids: NDArray[np.int64]) -> list[tuple[int, ...]]:
    positions = np.flatnonzero(is_standard(token_ids[1:-1])).tolist()
    if not positions:
        raise InvalidSequence.at("sequence", f"has none of the residues {STANDARD_20}")
    return [(position,) for position in positions]
