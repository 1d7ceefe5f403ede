"""The options of every command that calls a server."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click

from primase.channel import DEFAULT_RETRY, RetryPolicy, TlsOptions
from primase.cli.journal import JournalError
from primase.client import Client, connect
from primase.exceptions import PrimaseError
from primase.input_error import InputError

INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

model_option = click.option(
    "--model",
    required=True,
    envvar="PRIMASE_MODEL",
    show_envvar=True,
    help="Its name on the server.",
)

OPTIONS = (
    click.option(
        "--server",
        default="localhost:50051",
        show_default=True,
        envvar="PRIMASE_SERVER",
        show_envvar=True,
        help="HOST:PORT.",
    ),
    click.option(
        "--token", envvar="PRIMASE_TOKEN", show_envvar=True, help="Bearer token of each call."
    ),
    click.option("--tls", is_flag=True, help="Encrypt, trusting the system's authorities."),
    click.option("--ca-file", type=FILE, help="Encrypt, trusting these authorities (PEM)."),
    click.option("--cert-file", type=FILE, help="Encrypt, with this certificate (PEM)."),
    click.option("--key-file", type=FILE, help="Key of --cert-file (PEM)."),
    click.option(
        "--timeout-s",
        type=click.FloatRange(0, min_open=True),
        help="Deadline of each request; a long input takes several.",
    ),
)


CONNECTION = "primase.connection"


@dataclass(frozen=True)
class Connection:
    """Where the server is and who asks; can be sent to another process."""

    server: str
    token: str | None = field(repr=False)
    tls: TlsOptions | None
    timeout_s: float | None

    def connect(self, retry: RetryPolicy | None = DEFAULT_RETRY) -> Client:
        """A client. Raises OSError where a file of `tls` cannot be read."""
        return connect(
            self.server, token=self.token, tls=self.tls, timeout_s=self.timeout_s, retry=retry
        )

    @staticmethod
    def of_command() -> "Connection":
        """That of the command which runs."""
        found: Connection = click.get_current_context().meta[CONNECTION]
        return found


def calls_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` a client in place of the connection options, and its errors a sentence."""

    @wraps(command)
    def run(
        *,
        server: str,
        token: str | None,
        tls: bool,
        ca_file: Path | None,
        cert_file: Path | None,
        key_file: Path | None,
        timeout_s: float | None,
        **options: Any,
    ) -> None:
        encryption = _tls_options(tls, ca_file, cert_file, key_file)
        connection = Connection(server, token, encryption, timeout_s)
        click.get_current_context().meta[CONNECTION] = connection
        with connection.connect() as client, _sentences():
            command(client, **options)

    for option in reversed(OPTIONS):
        run = option(run)
    return run


@contextmanager
def _sentences() -> Iterator[None]:
    """Every way to end early as one sentence and a status."""
    try:
        yield
    except BrokenPipeError:
        raise  # who reads stdout has seen enough: click ends without a word
    except (PrimaseError, InputError, JournalError, OSError, EOFError, zlib.error) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        click.get_current_context().exit(INTERRUPTED)


def _tls_options(
    tls: bool, ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> TlsOptions | None:
    if not (tls or ca_file or cert_file or key_file):
        return None
    try:
        return TlsOptions(ca_file, cert_file, key_file)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
