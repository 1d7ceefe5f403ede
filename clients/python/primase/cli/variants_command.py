"""`primase variants`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, get_args

import click

from primase.cli.bulk_run import Finished
from primase.cli.connection import calls_server, model_option
from primase.cli.correlations import Agreement
from primase.cli.journal import Options
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import Columns, SequenceInput, format_of
from primase.cli.table_run import SUFFIXES, NoSink, TableRun
from primase.cli.variant_input import MeasuredQuery, VariantColumns
from primase.cli.variant_scoring import score_queries
from primase.cli.variant_task import scan_of, variants_of
from primase.cli.whole_file import whole_file
from primase.client import Client
from primase.names import MultiMutantName, VariantMethodName

HELP = """Score variants of the wild types of INPUT: log p(new) - log p(old), above 0 is likelier.

INPUT is FASTA or CSV. With --variants, a CSV with a column `mutant` of substitutions such as A42G
or A42G:K50R, positions from 1; with --scan, every single substitution of every wild type. One wild
type alone is that of all variants, several are found by the column `id` of the variants, and
without INPUT each variant has its wild type in a column `sequence`.

Where the CSV also has a column `score` of what was measured, it is written beside the scores, and
Spearman's rank correlation of each wild type is told on stderr.

Variants that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.tsv      one line per variant: id, variant, score, measured
out.parquet  the same columns
out.jsonl    one object per variant with the same names, or {"id", "variant", "error"}
"""


@click.command(help=HELP)
@click.argument("file", metavar="[INPUT]", type=click.File("rb"), required=False)
@click.option("--variants", type=click.File("rb"), help="CSV of the variants to score.")
@click.option("--scan", is_flag=True, help="Score every single substitution instead.")
@click.option("--variant-column", default="mutant", show_default=True, help="Of --variants.")
@click.option(
    "--score-column", help="Of --variants: what was measured. [default: score, where there is one]"
)
@click.option("--id-column", default="id", show_default=True, help="Wild types' names, in CSV.")
@click.option(
    "--sequence-column", default="sequence", show_default=True, help="Wild types, in CSV."
)
@model_option
@click.option(
    "--method",
    default="masked_marginal",
    show_default=True,
    type=click.Choice(get_args(VariantMethodName)),
    help="Mask the position, one pass for each, or read one pass over the wild type.",
)
@click.option(
    "--multi-mutant",
    default="wildtype_fill",
    show_default=True,
    type=click.Choice(get_args(MultiMutantName)),
    help="Mask the positions of a variant one by one, or all together.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="JSON file for the correlations.",
)
@writes_file(SUFFIXES)
@calls_server
def variants(
    client: Client,
    *,
    file: BinaryIO | None,
    variants: BinaryIO | None,
    scan: bool,
    variant_column: str,
    score_column: str | None,
    id_column: str,
    sequence_column: str,
    model: str,
    method: VariantMethodName,
    multi_mutant: MultiMutantName,
    report: Path | None,
    output: Path | None,
    resume: bool,
) -> None:
    """Write the scores of variants."""
    if scan == (variants is not None):
        raise click.UsageError("give either --variants CSV or --scan")
    columns = Columns(id_column, sequence_column)
    wild_types = SequenceInput(file, format_of(file), columns) if file is not None else None
    if variants is None:
        task = scan_of(wild_types)
    else:
        task = variants_of(
            variants, VariantColumns(variant_column, score_column, columns), wild_types
        )
    if report is not None and task.correlations is None:
        raise click.UsageError("--report needs variants with what was measured of them")

    def work(queries: Iterator[MeasuredQuery]) -> Iterator[Finished]:
        esm2 = client.esm2(model)
        return score_queries(
            lambda some: esm2.variants(some, method=method, multi_mutant=multi_mutant), queries
        )

    options = {"model": model, "method": method, "multi_mutant": multi_mutant}
    progress = Progress(task.total, task.unit)
    run = TableRun(task.table, output, options, resume, task.correlations or NoSink())
    run.run(task.queries, work, progress)
    if task.correlations is not None:
        _tell(list(task.correlations.agreements()), options, report)
    exit_with(progress.num_failed)


def _tell(agreements: list[Agreement], options: Options, report: Path | None) -> None:
    for its in agreements:
        found = "not defined" if its.spearman is None else f"{its.spearman:.3f}"
        click.echo(f"{its.id}: Spearman {found} over {its.num_measured} variants", err=True)
    if report is not None:
        wild_types = [its._asdict() for its in agreements]
        with whole_file(report) as part:
            part.write_text(json.dumps({**options, "wild_types": wild_types}, indent=2) + "\n")
