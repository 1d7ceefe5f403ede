"""Whether something found is what was expected: every difference as a line of text."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

TOLERANCE = 1e-4


def differences(expected: Any, found: Any, place: str) -> Iterator[str]:
    """What is not as expected. README.md has the rules."""
    if isinstance(expected, Mapping):
        if any(key.startswith("$") for key in expected):
            yield from _unless(_holds(expected, found), expected, found, place)
        elif not isinstance(found, Mapping):
            yield from _unless(False, expected, found, place)
        else:
            for key, value in expected.items():
                if key not in found:
                    yield f"{place}.{key} is missing"
                else:
                    yield from differences(value, found[key], f"{place}.{key}")
    elif isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            yield from _unless(False, expected, found, place)
            return
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    else:
        yield from _unless(_is_equal(expected, found), expected, found, place)


def _holds(condition: Mapping[str, Any], found: Any) -> bool:
    checks: dict[str, Callable[[Any], bool]] = {
        "$in": lambda value: any(_is_equal(one, found) for one in value),
        "$min": lambda value: found is not None and found >= value,
        "$max": lambda value: found is not None and found <= value,
        "$has": lambda value: value in found,
        "$not": lambda value: not _is_equal(value, found),
    }
    return all(checks[name](value) for name, value in condition.items())


def _is_equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, int | float):
        return abs(expected - found) <= TOLERANCE * (1 + abs(expected))
    return bool(expected == found)


def _unless(holds: bool, expected: Any, found: Any, place: str) -> Iterator[str]:
    if not holds:
        yield f"{place} is {_short(found)}, not {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
