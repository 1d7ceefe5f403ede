"""Where the service's time went, told in the answer's `Server-Timing` as browsers show it.

Of several calls that a request makes, the last that did any work is told. An answer that has begun
before its work has ended goes without.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar

HEADER = "server-timing"
# Trailers of the service, and what they are called here.
NAMES = {
    "x-primase-queue-ms": "queue",
    "x-primase-compute-ms": "compute",
    "x-primase-total-ms": "total",
    "x-primase-ttft-ms": "ttft",
}
MILLISECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?")

# Of the request in progress; made anew for each.
_told: ContextVar[dict[str, str]] = ContextVar("timings")


def begin() -> dict[str, str]:
    """For a new request; holds its timings once they are known."""
    told: dict[str, str] = {}
    _told.set(told)
    return told


def note(metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
    """Take them from the trailers of a call."""
    found = {
        NAMES[key]: value
        for key, value in metadata or ()
        if key in NAMES and isinstance(value, str) and MILLISECONDS.fullmatch(value)
    }
    if "compute" in found:
        told = _told.get({})
        told.clear()
        told.update(found)


def header(told: dict[str, str]) -> str:
    """The header's value, such as `queue;dur=0.4, compute;dur=31.2`."""
    return ", ".join(f"{name};dur={told[name]}" for name in NAMES.values() if name in told)
