"""The options of `primase serve` that bound what is taken and how long it waits."""

import click

from primase_server.options.group import group
from primase_server.options.parameters import COUNT, SOME_SECONDS
from primase_server.settings import Limits

OPTIONS = (
    click.option(
        "--max-residues",
        default=Limits.max_residues,
        show_default=True,
        type=COUNT,
        help="Longest protein that ESM-2 encodes or predicts.",
    ),
    click.option(
        "--max-bases",
        default=Limits.max_bases,
        show_default=True,
        type=COUNT,
        help="Longest sequence of Evo 2, where the model itself takes as many.",
    ),
    click.option(
        "--max-queued-tokens",
        default=Limits.max_queued_tokens,
        show_default=True,
        type=COUNT,
        help="Of each model, tokens of work that may wait; above that it is refused, to come back.",
    ),
    click.option(
        "--max-queue-s",
        default=Limits.max_queue_s,
        show_default=True,
        type=SOME_SECONDS,
        help="How long work may wait, of each model, at its speed of late; 32 calls of a size "
        "always may. Above that it is refused, each call with a turn of its own to come back at, "
        "and until none had to be refused for 2 seconds, only 16 wait. Generation is not meant.",
    ),
    click.option(
        "--max-state-bytes",
        type=COUNT,
        help="Of a device's memory, for what Evo 2 keeps of sequences: half of it for those that "
        "it generates, half for those that it only reads.  "
        "[default: half of what is free once the weights are there]",
    ),
    click.option(
        "--max-request-bytes",
        default=Limits.max_request_bytes,
        show_default=True,
        type=click.IntRange(1024),
        help="Largest message of gRPC that is read.",
    ),
    click.option(
        "--heartbeat-s",
        default=Limits.heartbeat_s,
        show_default=True,
        type=SOME_SECONDS,
        help="A stream that has nothing to tell for so many seconds says that it is alive.",
    ),
    click.option(
        "--connection-age-s",
        type=click.FloatRange(1),
        help="Clients of gRPC connect again after about so many seconds, and so find servers that "
        "came later; calls in flight end where they began.  [default: never]",
    ),
)


def gather(
    max_residues: int,
    max_bases: int,
    max_queued_tokens: int,
    max_queue_s: float,
    max_state_bytes: int | None,
    max_request_bytes: int,
    heartbeat_s: float,
    connection_age_s: float | None,
) -> Limits:
    """The setting, but for the tokens of a step, which follow from the device."""
    return Limits(
        max_residues=max_residues,
        max_bases=max_bases,
        max_queued_tokens=max_queued_tokens,
        max_queue_s=max_queue_s,
        max_state_bytes=max_state_bytes,
        max_request_bytes=max_request_bytes,
        heartbeat_s=heartbeat_s,
        connection_age_s=connection_age_s,
    )


limit_options = group("limits", OPTIONS, gather)
"""Adds them; the command gets them as `limits`."""
