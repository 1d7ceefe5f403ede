"""Waiting for what another does, by asking it."""

import time
from collections.abc import Callable


def until(is_so: Callable[[], bool], timeout_s: float = 60) -> None:
    """Ask again and again; every question is a call that takes its time."""
    until_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until_s, "it never came to be so"
