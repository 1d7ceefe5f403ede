"""`primase variants`."""

from pathlib import Path
from typing import BinaryIO, get_args

import click

from primase.cli.comma_lists import comma_list
from primase.cli.connection import calls_server, model_option
from primase.cli.dna_variant_rows import DnaColumns
from primase.cli.dna_variant_task import DnaTask, dna_variants
from primase.cli.families import family_of, option_of
from primase.cli.input_file import InputFile
from primase.cli.observations import ObservedColumns
from primase.cli.output_options import writes_file
from primase.cli.protein_variant_input import VariantColumns
from primase.cli.protein_variant_task import ProteinTask, ProteinVariants
from primase.cli.sequence_input import Columns, SequenceInput, format_of, upper_case_option
from primase.cli.strands import evo2_strand_option
from primase.cli.table_run import SUFFIXES
from primase.client import Client
from primase.names import MultiMutantName, StrandName, VariantMethodName

HELP = """Score variants of the sequences of INPUT, FASTA or CSV; the model says of which kind.

Proteins (ESM-2): log p(new) - log p(old), above 0 is likelier. --variants is a CSV with a column
`mutant` of substitutions such as A42G or A42G:K50R, positions from 1; --scan scores every single
substitution of every wild type. Without INPUT each variant has its wild type in a column
`sequence`.

DNA (Evo 2): log-likelihood of the window with the variant less that without, below 0 is less
likely. --variants is a CSV, a TSV (.tsv, .tab, .txt) or a VCF (.vcf) of position, ref and alt,
where nothing is empty or `-`. Positions count from 0, from 1 with --one-based and in VCF, or from
the --offset of a region in its genome. Rows that do not fit their reference, or are there twice,
are named by their line. `primase scan` scores every substitution.

One sequence alone is that of all variants; several are found by the column `id` of the variants, or
by CHROM.

Where the CSV also has a column `score` of what was measured, it is written beside the scores, and
Spearman's rank correlation of each sequence is told on stderr. With labels, so is the area under
the ROC curve of low scores for the --positive ones against all others, with a bootstrap interval.

Variants that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.tsv      one line per variant: id, variant, score, measured, label
             Of DNA: id, position, ref, alt, delta_mean_log_likelihood,
             delta_sum_log_likelihood, reference_mean_log_likelihood,
             variant_mean_log_likelihood, measured, label, recipe
out.parquet  the same columns
out.jsonl    one object per variant with the same names, or one with "error"
"""


def _label(entry: str) -> str:
    if not entry:
        raise ValueError("a label has no name")
    return entry


@click.command(help=HELP)
@click.argument("file", metavar="[INPUT]", type=InputFile(), required=False)
@click.option("--variants", type=InputFile(), help="File of the variants to score.")
@option_of("esm2", "--scan", is_flag=True, help="Score every single substitution instead.")
@option_of(
    "esm2", "--variant-column", default="mutant", show_default=True, help="Column of substitutions."
)
@option_of(
    "evo2",
    "--position-column",
    help="Column of positions. [default: position or pos, whichever there is]",
)
@option_of(
    "evo2", "--ref-column", default="ref", show_default=True, help="Column of what is replaced."
)
@option_of(
    "evo2", "--alt-column", default="alt", show_default=True, help="Column of what replaces it."
)
@option_of("evo2", "--one-based", is_flag=True, help="Positions of --variants count from 1.")
@option_of(
    "evo2",
    "--offset",
    type=int,
    help="Position of the first base of INPUT, as --variants counts. [default: 0, or 1]",
)
@click.option(
    "--score-column", help="Column of what was measured. [default: score, where there is one]"
)
@click.option("--label-column", help="Column of labels, to see whether low scores tell them.")
@click.option(
    "--positive",
    default="",
    callback=comma_list(_label),
    metavar="LABEL,...",
    help="Labels to tell from all others, such as LOF.",
)
@click.option("--id-column", default="id", show_default=True, help="Names of sequences, in CSV.")
@click.option("--sequence-column", default="sequence", show_default=True, help="Sequences, in CSV.")
@upper_case_option
@model_option
@option_of(
    "esm2",
    "--method",
    default="masked_marginal",
    show_default=True,
    type=click.Choice(get_args(VariantMethodName)),
    help="Mask the position, one pass for each, or read one pass over the wild type.",
)
@option_of(
    "esm2",
    "--multi-mutant",
    default="wildtype_fill",
    show_default=True,
    type=click.Choice(get_args(MultiMutantName)),
    help="Mask the positions of a variant one by one, or all together.",
)
@option_of(
    "evo2",
    "--window-bases",
    type=click.IntRange(2, 1_048_576),
    help="Bases read around each variant. [default: 8192]",
)
@evo2_strand_option
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="JSON file for the correlations and areas.",
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
    position_column: str | None,
    ref_column: str,
    alt_column: str,
    one_based: bool,
    offset: int | None,
    score_column: str | None,
    label_column: str | None,
    positive: list[str],
    id_column: str,
    sequence_column: str,
    upper_case: bool,
    model: str,
    method: VariantMethodName,
    multi_mutant: MultiMutantName,
    window_bases: int | None,
    strand: StrandName,
    report: Path | None,
    output: Path | None,
    resume: bool,
) -> None:
    """Write the scores of variants."""
    if (label_column is None) != (not positive):
        raise click.UsageError("--label-column and --positive go together")
    columns = Columns(id_column, sequence_column)
    sequences = None
    if file is not None:
        sequences = SequenceInput(file, format_of(file), columns, upper_case)
    observed = ObservedColumns(score_column, label_column, frozenset(positive))
    task: ProteinTask | DnaTask
    if family_of(client, model, ("esm2", "evo2")) == "esm2":
        if scan == (variants is not None):
            raise click.UsageError("give either --variants CSV or --scan")
        proteins = ProteinVariants(client.esm2(model), method, multi_mutant)
        if variants is None:
            task = proteins.scan_of(sequences)
        else:
            where = VariantColumns(variant_column, observed, columns)
            task = proteins.variants_of(variants, where, sequences)
    else:
        if sequences is None or variants is None:
            raise click.UsageError("variants of DNA need INPUT, their reference, and --variants")
        task = dna_variants(
            client.evo2(model),
            sequences,
            variants,
            DnaColumns(position_column, ref_column, alt_column, id_column, observed),
            one_based=one_based,
            offset=offset,
            window_bases=window_bases,
            strand=strand,
        )
    task.run(output, report, resume=resume)
