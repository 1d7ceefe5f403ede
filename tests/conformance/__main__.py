"""`make conformance`: every case in every language whose runner is there, as one table.

With --versions in each language with the oldest and the newest libraries that are supported.
"""

import sys
from collections.abc import Mapping
from itertools import combinations

from tests.conformance import cases, checker, runners, servers
from tests.conformance.runners import Ran

Problems = Mapping[str, Mapping[str, list[str]]]


def table(ran: Mapping[str, Ran], problems: Problems) -> str:
    """A line for each case, a column for each language."""
    names = [case["name"] for case in cases.load()]
    width = max(map(len, names))
    lines = [" ".join([" " * width, *(f"{language:>12}" for language in ran)])]
    for name in names:
        marks = [
            "FAILS"
            if problems[language][name]
            else "-"
            if "skipped" in found.outcomes[name]
            else "ok"
            for language, found in ran.items()
        ]
        lines.append(" ".join([name.ljust(width), *(f"{mark:>12}" for mark in marks)]))
    return "\n".join(lines)


def problems_of(ran: Mapping[str, Ran]) -> Problems:
    """By language, then by case."""
    found = {
        language: {
            case["name"]: checker.problems(case, one.outcomes.get(case["name"]))
            for case in cases.load()
        }
        for language, one in ran.items()
    }
    for (_, first), (language, other) in combinations(ran.items(), 2):
        for case in cases.load():
            name = case["name"]
            if name in first.outcomes and name in other.outcomes:
                its, theirs = first.outcomes[name], other.outcomes[name]
                found[language][name] += checker.unlike(case, its, theirs)
    return found


def main() -> None:
    """Print the table and what is wrong."""
    languages = [*runners.VERSIONS] if "--versions" in sys.argv[1:] else runners.there()
    with servers.running() as answering:
        ran = {language: runners.run(language, answering) for language in languages}
    problems = problems_of(ran)
    sys.stdout.write(f"{table(ran, problems)}\n")
    wrong = [
        f"{language} {name}: {problem}"
        for language, by_case in problems.items()
        for name, found in by_case.items()
        for problem in found
    ]
    for language in {*runners.COMMANDS}.difference(ran) if runners.there() == languages else ():
        sys.stdout.write(f"the runner of {language} is not built\n")
    sys.stdout.write("".join(f"\n{line}" for line in wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
