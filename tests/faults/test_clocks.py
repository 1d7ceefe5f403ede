"""A wall clock that jumps: nothing that waits or measures reads it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("service/primase_server", "gateway/primase_gateway", "clients/python/primase")
    for path in (ROOT / folder).rglob("*.py")
)
WALL_CLOCK = re.compile(
    r"\btime\.time(_ns)?\b|\b(datetime|date)\.(now|utcnow|today)\b"
    r"|^from time import .*\btime(_ns)?\b"
)
# Each tells a moment to somebody; none waits for it, and none subtracts from it.
MOMENTS = {"service/primase_server/tracing.py": "when a span ended, for the collector"}


def wall_clocks(source: str) -> list[int]:
    """Lines of `source` that read the wall clock."""
    lines = enumerate(source.splitlines(), start=1)
    return [number for number, line in lines if WALL_CLOCK.search(line)]


def test_no_timer_reads_the_wall_clock() -> None:
    assert len(SOURCES) > 200
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in SOURCES
        if (lines := wall_clocks(path.read_text()))
    }
    assert set(found) <= set(MOMENTS), found


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import time\ntime()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
    ],
)
def test_the_ways_to_read_it_are_known(source: str) -> None:
    assert wall_clocks(source)
