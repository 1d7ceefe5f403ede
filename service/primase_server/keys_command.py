"""`primase keys`: who may call a server that is given the file."""

from dataclasses import asdict
from pathlib import Path

import click

from primase_server.access import keys_file as file_of_keys
from primase_server.access.caller import INFER, SCOPES
from primase_server.access.keys_file import KeyEntry
from primase_server.access.quotas import QuotaLimits

KEYS_FILE_HELP = "TOML, an entry a key; `primase keys new` adds to it."


@click.group()
def keys() -> None:
    """Make, list and take back the keys that callers need.

    A running server sees a change of the file within a second.
    """


keys_file_option = click.option(
    "--keys-file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    envvar="PRIMASE_KEYS_FILE",
    show_envvar=True,
    help=KEYS_FILE_HELP,
)


@keys.command()
@keys_file_option
@click.option("--name", required=True, help="Of the key: it stands in the server's log.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=(INFER,),
    show_default=True,
    type=click.Choice(SCOPES),
    help="What it allows; admin allows all. Repeatable.",
)
@click.option(
    "--tokens-per-minute",
    type=click.IntRange(1),
    help="Most tokens that its jobs may take in a minute, in the long run.  [default: any]",
)
@click.option(
    "--concurrent-tokens",
    type=click.IntRange(1),
    help="Most tokens of its jobs that wait or run at once.  [default: any]",
)
def new(
    keys_file: Path,
    name: str,
    scopes: tuple[str, ...],
    tokens_per_minute: int | None,
    concurrent_tokens: int | None,
) -> None:
    """Make a key, print it once, and put its hash into the file.

    Nobody can find the key from the file: keep what is printed.
    """
    limits = QuotaLimits(tokens_per_minute, concurrent_tokens)
    click.echo(_new(keys_file, name, scopes, limits))


@keys.command("list")
@keys_file_option
def list_keys(keys_file: Path) -> None:
    """The names of the keys, and what they allow."""
    for entry in _entries(keys_file):
        quotas = [f"{quota}={n}" for quota, n in asdict(entry.limits).items() if n is not None]
        click.echo("\t".join([entry.name, ",".join(entry.scopes), *quotas]))


@keys.command()
@keys_file_option
@click.argument("name")
def remove(keys_file: Path, name: str) -> None:
    """Take the key of that name back.

    A running server lets it in no more within a second; calls in flight are finished.
    """
    try:
        file_of_keys.remove(keys_file, name)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _new(path: Path, name: str, scopes: tuple[str, ...], limits: QuotaLimits) -> str:
    key = file_of_keys.new_key()
    try:
        digest = file_of_keys.digest_of(key)
        entry = KeyEntry(name, digest.hex(), tuple(dict.fromkeys(scopes)), limits)
        file_of_keys.append(path, entry)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    return key


def _entries(path: Path) -> tuple[KeyEntry, ...]:
    try:
        return file_of_keys.parse(path.read_text())
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
