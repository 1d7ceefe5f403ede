"""What `primase variants` does with a model of DNA."""

from collections.abc import Iterator
from typing import BinaryIO

from primase.cli.agreements import agreements_of
from primase.cli.bulk_run import Finished
from primase.cli.dna_variant_input import DnaGroup, groups
from primase.cli.dna_variant_rows import DnaColumns, DnaRows
from primase.cli.dna_variant_scoring import score_groups
from primase.cli.sequence_input import SequenceInput, count_lines
from primase.cli.table import CellKind
from primase.cli.variant_task import VariantTask, table_of
from primase.evo2_client import Evo2
from primase.names import StrandName

DEFAULT_WINDOW_BASES = 8192
SCORE = "delta_mean_log_likelihood"
PLACE: dict[str, CellKind] = {"id": "text", "position": "integer", "ref": "text", "alt": "text"}
SCORES: dict[str, CellKind] = {
    SCORE: "number",
    "delta_sum_log_likelihood": "number",
    "reference_mean_log_likelihood": "number",
    "variant_mean_log_likelihood": "number",
}

DnaTask = VariantTask[DnaGroup]


def dna_variants(
    evo2: Evo2,
    references: SequenceInput,
    variants: BinaryIO,
    columns: DnaColumns,
    *,
    one_based: bool,
    offset: int | None,
    window_bases: int | None,
    strand: StrandName,
) -> DnaTask:
    """The variants of a file.

    offset: position of a reference's first base as the file counts; None is 0, or 1.

    Raises InputError.
    """
    total = count_lines(variants)
    window_bases = window_bases or DEFAULT_WINDOW_BASES
    by_name = references.by_name("reference")
    rows = DnaRows(variants, columns, are_named=len(by_name) > 1)
    first_position = int(one_based or rows.is_vcf) if offset is None else offset

    def work(some: Iterator[DnaGroup]) -> Iterator[Finished]:
        return score_groups(
            lambda queries: evo2.variants(queries, window_bases=window_bases, strand=strand), some
        )

    observed = columns.observed.table_columns(has_measured=rows.has_measured)
    return DnaTask(
        groups(rows, by_name, first_position, window_bases),
        work,
        table_of({**PLACE, **SCORES, **observed, "recipe": "text"}),
        {"model": evo2.model, "window_bases": window_bases, "strand": strand},
        total,
        "variants",
        "references",
        agreements_of(SCORE, has_measured=rows.has_measured, positive=columns.observed.positive),
    )
