"""One file from the hub, appended to what is there of it already."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from primase_server.models.hub.errors import DamagedWeights, HubUnreachable
from primase_server.models.hub.listing import Listing, RemoteFile
from primase_server.models.hub.remote import Hub

MAX_IDLE_TRIES = 5
"""Tries in a row that bring no byte before the hub is called unreachable."""

FIRST_PAUSE_S = 0.2

OnBytes = Callable[[int], object]
"""Told how many bytes more there are; less than 0 where some were thrown away."""


def download(hub: Hub, listing: Listing, file: RemoteFile, part: Path, on_bytes: OnBytes) -> None:
    """Make `part` the whole file, by asking for what it lacks as often as it takes.

    Raises HubUnreachable, which leaves what there is; DamagedWeights for more bytes than there
    should be; HubRefused; OSError where the disk refuses.
    """
    with part.open("ab") as out:
        on_bytes(out.tell())
        _keep_at_most(out, file.size, on_bytes)
        num_tries = 0
        while out.tell() < file.size:
            start = out.tell()
            try:
                _append(hub, listing, file, out, on_bytes)
            except HubUnreachable:
                num_tries = 1 if out.tell() > start else num_tries + 1
                if num_tries >= MAX_IDLE_TRIES:
                    raise
                time.sleep(FIRST_PAUSE_S * 2**num_tries)
        out.flush()
        os.fsync(out.fileno())


def _append(hub: Hub, listing: Listing, file: RemoteFile, out: BinaryIO, on_bytes: OnBytes) -> None:
    with hub.body(listing, file.name, out.tell()) as body:
        if body.offset not in (0, out.tell()):
            raise DamagedWeights(f"{file.name}: the hub sent other bytes than were asked for")
        _keep_at_most(out, body.offset, on_bytes)
        for chunk in body.chunks:
            if out.tell() + len(chunk) > file.size:
                raise DamagedWeights(f"{file.name}: the hub sends more than {file.size} bytes")
            out.write(chunk)
            on_bytes(len(chunk))
    if out.tell() < file.size:
        raise HubUnreachable(f"{file.name} ended after {out.tell()} of {file.size} bytes")


def _keep_at_most(out: BinaryIO, size: int, on_bytes: OnBytes) -> None:
    if (surplus := out.tell() - size) > 0:
        out.truncate(size)
        out.seek(size)
        on_bytes(-surplus)
