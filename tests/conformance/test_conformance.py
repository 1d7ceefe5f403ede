"""Every case, in every language whose runner is there."""

from collections.abc import Callable

import pytest

from tests.conformance import cases, checker, runners
from tests.conformance.cases import Case
from tests.conformance.runners import Ran

CASES = cases.load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize("language", runners.there())
def test_case(language: str, case: Case, ran: Callable[[str], Ran]) -> None:
    outcome = ran(language).outcomes.get(case["name"])
    assert checker.problems(case, outcome) == []


@pytest.mark.parametrize("language", runners.there()[1:])
def test_arrays_have_the_same_bytes_as_in_python(language: str, ran: Callable[[str], Ran]) -> None:
    ours, theirs = ran("python").outcomes, ran(language).outcomes
    found = {
        case["name"]: checker.unlike(case, ours[case["name"]], theirs[case["name"]])
        for case in CASES
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_a_runner_runs_the_cases_in_order(ran: Callable[[str], Ran]) -> None:
    assert [*ran("python").outcomes] == [case["name"] for case in CASES]


def test_names_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
