"""The option of every command that reads DNA: which strand."""

from typing import get_args

import click

from primase.cli.families import option_of
from primase.names import StrandName

HELP = "What is read: the input, its reverse complement, or the mean of both."

STRANDS = click.Choice(get_args(StrandName))

strand_option = click.option(
    "--strand", default="forward", show_default=True, type=STRANDS, help=HELP
)
evo2_strand_option = option_of(
    "evo2", "--strand", default="forward", show_default=True, type=STRANDS, help=HELP
)
