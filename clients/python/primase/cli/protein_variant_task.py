"""What `primase variants` does with a model of proteins."""

from collections.abc import Iterator
from typing import BinaryIO

import click

from primase.cli.agreements import agreements_of
from primase.cli.bulk_run import Finished
from primase.cli.protein_variant_input import MeasuredQuery, VariantColumns, VariantInput
from primase.cli.protein_variant_scoring import score_queries
from primase.cli.sequence_input import SequenceInput, count_lines
from primase.cli.table import CellKind
from primase.cli.variant_task import VariantTask, table_of
from primase.esm2_client import Esm2
from primase.names import MultiMutantName, VariantMethodName

COLUMNS: dict[str, CellKind] = {"id": "text", "variant": "text", "score": "number"}

ProteinTask = VariantTask[MeasuredQuery]


class ProteinVariants:
    """Makes tasks for one model."""

    def __init__(
        self, esm2: Esm2, method: VariantMethodName, multi_mutant: MultiMutantName
    ) -> None:
        self._esm2 = esm2
        self._method = method
        self._multi_mutant = multi_mutant

    def scan_of(self, wild_types: SequenceInput | None) -> ProteinTask:
        """Every single substitution of each wild type."""
        if wild_types is None:
            raise click.UsageError("--scan needs INPUT")
        queries = (MeasuredQuery(*record) for record in wild_types.records())
        return ProteinTask(
            queries,
            self._work,
            table_of(COLUMNS),
            self._options(),
            wild_types.count(),
            "sequences",
            "wild_types",
        )

    def variants_of(
        self,
        variants: BinaryIO,
        columns: VariantColumns,
        wild_types: SequenceInput | None,
    ) -> ProteinTask:
        """The variants of a CSV. Raises CsvError."""
        total = count_lines(variants)
        known = None if wild_types is None else wild_types.by_name("wild type")
        given = VariantInput(variants, columns, known)
        observed = columns.observed.table_columns(has_measured=given.has_measured)
        return ProteinTask(
            given.queries(),
            self._work,
            table_of({**COLUMNS, **observed}),
            self._options(),
            total,
            "variants",
            "wild_types",
            agreements_of(
                "score", has_measured=given.has_measured, positive=columns.observed.positive
            ),
        )

    def _options(self) -> dict[str, str]:
        return {
            "model": self._esm2.model,
            "method": self._method,
            "multi_mutant": self._multi_mutant,
        }

    def _work(self, queries: Iterator[MeasuredQuery]) -> Iterator[Finished]:
        return score_queries(
            lambda some: self._esm2.variants(
                some, method=self._method, multi_mutant=self._multi_mutant
            ),
            queries,
        )
