"""README.md shows the demo as it is now, but for its numbers."""

import re

from primase.cli.connection import Connection
from primase.cli.demo.recipes import Recipes
from primase.cli.demo.walk import STEPS
from tools.readme_demo import BLOCK, PAGE, REST_URL, SERVER, filled

WALK, ONE_STEP = (printed for _, printed in BLOCK.findall(PAGE.read_text()))
RECIPES = Recipes(Connection(SERVER, None, None, None), REST_URL)


def test_every_step_is_shown() -> None:
    headings = re.findall(r"^── (\d)  (.*?) ─+ (\S+), (\S+)$", WALK, re.MULTILINE)
    assert headings == [
        (str(number), step.title, f"{step.family}-demo", step.method.partition("/")[2])
        for number, step in enumerate(STEPS, start=1)
    ]
    assert "failed" not in WALK
    assert "Demo numbers are demo numbers" in WALK


def test_what_to_paste_is_what_is_told() -> None:
    (number,) = map(int, re.findall(r"^── (\d)", ONE_STEP, re.MULTILINE))
    step = STEPS[number - 1]
    for program, command in RECIPES.of(step, f"{step.family}-demo"):
        assert f"\n# {program}\n{command}\n" in ONE_STEP


def test_only_what_the_demo_prints_is_written() -> None:
    page = "a\n```console\n$ primase demo --step 4   # one\nold\n```\nb\n```console\n$ other\n```\n"
    asked = []

    def printed(arguments: list[str]) -> str:
        asked.append(arguments)
        return "\nnew\n\n"

    assert filled(page, printed) == page.replace("old", "new")
    assert asked == [["primase", "demo", "--step", "4"]]
