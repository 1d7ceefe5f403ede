"""Holds the outcomes of one runner, or of several, to the cases."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance import samples
from tests.conformance.cases import Case
from tests.conformance.matching import differences

Outcome = Mapping[str, Any]
NO_ERROR = {"error": None}


def problems(case: Case, outcome: Outcome | None) -> list[str]:
    """What is wrong with the outcome; nothing where all is right, or the runner may skip it."""
    if outcome is None:
        return ["the runner said nothing of it"]
    if "crashed" in outcome:
        return [f"the runner could not run it: {outcome['crashed']}"]
    if "skipped" in outcome:
        return [] if case.get("needs") else ["the runner skipped it"]
    return [*_problems(case, outcome)]


def unlike(case: Case, first: Outcome, other: Outcome) -> list[str]:
    """Arrays of which two languages do not have the same bytes."""
    if case.get("varies"):
        return []
    theirs = dict(_checksums(other, "outcome"))
    return [
        f"{place} has other bytes"
        for place, checksum in _checksums(first, "outcome")
        if checksum != theirs.get(place)
    ]


def _problems(case: Case, outcome: Outcome) -> Iterator[str]:
    expected = {**NO_ERROR, **case["expect"]}
    found = dict(outcome)
    for bound, name in (("min_elapsed_ms", "$min"), ("max_elapsed_ms", "$max")):
        if bound in expected:
            expected["elapsed_ms"] = {
                **expected.get("elapsed_ms", {}),
                name: float(expected.pop(bound)),
            }
    must_end = not outcome["error"] and "cancel_after" not in case
    if "events" in found:
        yield from samples.violations(found["events"], must_end)
        found["samples"] = samples.joined(found["events"])
    if "items" in found:
        yield from _disorder(case, found, must_end)
    yield from differences(expected, found, "outcome")


def _disorder(case: Case, outcome: Outcome, must_end: bool) -> Iterator[str]:
    indices = [item["index"] for item in outcome["items"]]
    num_items = len(case["request"]["items"]) if must_end else len(indices)
    if indices != list(range(num_items)):
        yield f"items come as {indices}"


def _checksums(value: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        if "crc32" in value:
            yield place, value["crc32"]
        # Events hold what was ready when they left, which nothing fixes.
        for key in value.keys() - {"events"}:
            yield from _checksums(value[key], f"{place}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _checksums(one, f"{place}[{number}]")
