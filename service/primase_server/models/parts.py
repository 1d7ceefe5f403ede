"""A piece of a result that goes to the caller while the rest is still to come."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What an item tells of one pass at once, and the bytes it holds until it is read."""

    value: object
    num_bytes: int
