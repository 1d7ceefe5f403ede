"""Whether work fits the limits, and how much of it would."""

from collections.abc import Callable, Iterable


def refusals(needs: Iterable[tuple[str, int, int]]) -> list[str]:
    """In words, which of (what, needed, limit) are more than their limit."""
    return [
        f"{needed} {what}; the limit is {limit}" for what, needed, limit in needs if needed > limit
    ]


def largest(fits: Callable[[int], bool], most: int) -> int:
    """A length up to `most` that fits where one more would not; what fits grows with length.

    Where it grows in steps, by a megabyte or two, a longer one may fit as well.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
