"""The options of `primase serve` that are about screening what is generated."""

import shlex
from pathlib import Path

import click

from primase_server.options.group import group
from primase_server.options.parameters import COUNT, PEM, SOME_SECONDS
from primase_server.settings import Screening

OPTIONS = (
    click.option(
        "--screener-command",
        default="",
        help="A program with its arguments, run without a shell: asked about each generated sample "
        "before anything of it is sent.",
    ),
    click.option(
        "--screener-target",
        default="",
        help="The same by gRPC, HOST:PORT or unix:PATH of a service as in primase.screening.v1.",
    ),
    click.option(
        "--screener-ca",
        type=PEM,
        help="Call --screener-target with TLS, trusting these authorities.",
    ),
    click.option("--screener-cert", type=PEM, help="This server's own certificate there."),
    click.option("--screener-key", type=PEM, help="Key of --screener-cert."),
    click.option(
        "--screener-timeout-s",
        default=Screening.timeout_s,
        show_default=True,
        type=SOME_SECONDS,
        help="A sample without a verdict so many seconds after its end fails.",
    ),
    click.option(
        "--screener-in-flight",
        default=Screening.max_in_flight,
        show_default=True,
        type=COUNT,
        help="Samples that the screener is asked about at once.",
    ),
    click.option(
        "--screener-max-held-bytes",
        default=Screening.max_held_bytes,
        show_default=True,
        type=COUNT,
        help="Most memory for samples that are not screened yet, over all calls.",
    ),
)


def gather(
    screener_command: str,
    screener_target: str,
    screener_ca: Path | None,
    screener_cert: Path | None,
    screener_key: Path | None,
    screener_timeout_s: float,
    screener_in_flight: int,
    screener_max_held_bytes: int,
) -> Screening:
    """The setting. Raises UsageError where options do not fit together."""
    asked = Screening(
        command=_words(screener_command),
        target=screener_target,
        ca=screener_ca,
        cert=screener_cert,
        key=screener_key,
        timeout_s=screener_timeout_s,
        max_in_flight=screener_in_flight,
        max_held_bytes=screener_max_held_bytes,
    )
    if asked.command and asked.target:
        raise click.UsageError("--screener-command or --screener-target: one or the other")
    if (asked.cert is None) != (asked.key is None):
        raise click.UsageError("--screener-cert and --screener-key go together")
    if (asked.cert and not asked.ca) or (asked.ca and not asked.target):
        raise click.UsageError("--screener-ca needs --screener-target, --screener-cert both")
    return asked


screening_options = group("screening", OPTIONS, gather)
"""Adds them; the command gets them as `screening`."""


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise click.UsageError(f"--screener-command: {error}") from error
