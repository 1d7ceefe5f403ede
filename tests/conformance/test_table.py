"""The table of `make conformance`."""

from typing import Any

from tests.conformance import __main__ as conformance
from tests.conformance import cases
from tests.conformance.runners import Ran

NAMES = [case["name"] for case in cases.load()]


def outcomes(**changed: Any) -> Ran:
    """Nothing right: of every case that it could not be run."""
    found = {name: {"case": name, "crashed": "no"} for name in NAMES}
    return Ran(found | changed, "")


def test_a_line_for_each_case_and_a_column_for_each_language() -> None:
    skipped = {"generation.reconnect": {"case": "generation.reconnect", "skipped": "no"}}
    ran = {"python": outcomes(), "go": outcomes(**skipped)}
    problems = conformance.problems_of(ran)
    header, *lines = conformance.table(ran, problems).splitlines()
    assert header.split() == ["python", "go"]
    assert [line.split()[0] for line in lines] == NAMES
    marks = {line.split()[0]: line.split()[1:] for line in lines}
    assert marks.pop("generation.reconnect") == ["FAILS", "-"]
    assert set(map(tuple, marks.values())) == {("FAILS", "FAILS")}
    assert problems["go"]["models.list"] == ["the runner could not run it: no"]


def test_what_is_missing_fails_too() -> None:
    ran = {"go": Ran({}, "")}
    problems = conformance.problems_of(ran)
    assert problems["go"]["models.list"] == ["the runner said nothing of it"]
    assert " FAILS" in conformance.table(ran, problems)
