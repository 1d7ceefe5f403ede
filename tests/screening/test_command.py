"""A program as the screener: what it is told, and that without an answer there is no verdict."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from primase_server.screening.command import RESTART_S, CommandScreener
from primase_server.screening.screener import Refused, ScreenerFailed
from tests.screening.programs import ALLOW, HANG, command, question

ANSWER_S = 20.0
REFUSE_LISTED = """
for q in questions():
    if "TTTT" in q["sequence"]:
        answer(q, "refuse", code="LISTED", message="it is on the list")
    else:
        answer(q)
"""


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def asked(
    program: tuple[str, ...],
    work: Callable[[CommandScreener], Awaitable[Any]],
    answer_s: float = ANSWER_S,
    max_in_flight: int = 8,
    clock: Callable[[], float] | None = None,
) -> Any:
    """What `work` makes of a screener that runs the program."""

    @asynccontextmanager
    async def running() -> AsyncIterator[CommandScreener]:
        screener = CommandScreener(program, max_in_flight, answer_s, clock or Clock())
        await screener.start()
        try:
            yield screener
        finally:
            await screener.close()

    async def run() -> Any:
        async with running() as screener:
            return await work(screener)

    return asyncio.run(run())


def failure_of(program: tuple[str, ...], answer_s: float = ANSWER_S) -> str:
    async def ask(screener: CommandScreener) -> str:
        with pytest.raises(ScreenerFailed) as failed:
            await screener.screen(question())
        return str(failed.value)

    told: str = asked(program, ask, answer_s)
    return told


def test_one_process_gives_every_verdict(tmp_path: Path) -> None:
    async def ask(screener: CommandScreener) -> list[Refused | None]:
        questions = [question(s) for s in ("ACGT" * 50_000, "ACGTTTTA", "GG")]
        return await asyncio.gather(*map(screener.screen, questions))

    verdicts = asked(command(tmp_path, REFUSE_LISTED), ask)
    assert verdicts == [None, Refused("LISTED", "it is on the list"), None]


def test_it_is_told_all_that_is_known(tmp_path: Path) -> None:
    program = "for q in questions(): answer(q, 'refuse', message=json.dumps(q, sort_keys=True))"
    refused = asked(command(tmp_path, program), lambda s: s.screen(question()))
    assert refused.message == (
        '{"caller": "lab", "id": 0, "item_index": 2, "kind": "dna", "model": "evo2-7b", '
        '"prompt": "ACGT", "request_id": "r1", "sample_index": 1, "sequence": "ACGTACGT"}'
    )


def test_answers_may_come_in_any_order_and_no_more_are_asked_at_once(tmp_path: Path) -> None:
    """The program waits for three questions, and answers the last first."""
    program = """
waiting = []
for q in questions():
    waiting.append(q)
    if len(waiting) == 3:
        for q in reversed(waiting):
            answer(q, "refuse", code=q["sequence"], message=str(len(waiting)))
        waiting = []
"""

    async def ask(screener: CommandScreener) -> list[Refused | None]:
        return await asyncio.gather(*(screener.screen(question(f"A{n}")) for n in range(6)))

    verdicts = asked(command(tmp_path, program), ask, max_in_flight=3)
    assert verdicts == [Refused(f"A{n}", "3") for n in range(6)]


def test_what_a_refusal_says_is_kept_within_bounds(tmp_path: Path) -> None:
    program = """
for q in questions():
    answer(q, "refuse", code="not a code", message="a\\nb" + "x" * 1000)
"""
    refused = asked(command(tmp_path, program), lambda s: s.screen(question()))
    assert refused == Refused("UNNAMED", "ab" + "x" * 254)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        pytest.param("next(questions()); sys.exit(3)", "the program has ended", id="crash"),
        pytest.param(
            "next(questions()); print('ACGT', flush=True); time.sleep(3600)",
            "the program does not keep to the protocol: a line is not JSON",
            id="no json",
        ),
        pytest.param(
            "next(questions()); print('[' * 9999, flush=True); time.sleep(3600)",
            "the program does not keep to the protocol: a line is not JSON",
            id="deep json",
        ),
        pytest.param(
            "answer(next(questions()), True); time.sleep(3600)",
            "the program does not keep to the protocol: a verdict is neither allow nor refuse",
            id="no verdict",
        ),
        pytest.param(
            "next(questions()); answer({'id': 7}); time.sleep(3600)",
            "the program does not keep to the protocol: an answer to what was not asked",
            id="another id",
        ),
        pytest.param(
            "next(questions()); answer({'id': True}); time.sleep(3600)",
            "the program does not keep to the protocol: "
            "a line is not an object with the id of a question",
            id="no id",
        ),
    ],
)
def test_what_is_no_answer_is_no_verdict(tmp_path: Path, program: str, why: str) -> None:
    assert failure_of(command(tmp_path, program)) == why


def test_a_line_without_end_is_not_read_for_ever(tmp_path: Path) -> None:
    program = "next(questions())\nwhile True: sys.stdout.write('x' * 9999)"
    assert failure_of(command(tmp_path, program)).startswith("the program does not keep to the")


def test_a_program_that_is_stuck_is_ended(tmp_path: Path) -> None:
    assert failure_of(command(tmp_path, HANG), 0.2) == "the program does not answer"


def test_it_is_started_again_but_not_at_once(tmp_path: Path) -> None:
    program = """
for q in questions():
    if q["sequence"] == "CRASH":
        sys.exit(1)
    answer(q, "refuse", code=str(os.getpid()))
"""
    clock = Clock()

    async def ask(screener: CommandScreener) -> tuple[Refused | None, Refused | None]:
        before = await screener.screen(question())
        for why in ("the program has ended", "the program has just ended"):
            with pytest.raises(ScreenerFailed, match=why):
                await screener.screen(question("CRASH"))
        clock.now_s += RESTART_S
        return before, await screener.screen(question())

    before, after = asked(command(tmp_path, program), ask, clock=clock)
    assert before.code != after.code


def test_all_that_it_was_asked_fails_with_it(tmp_path: Path) -> None:
    program = "[next(questions()) for _ in range(4)]"

    async def ask(screener: CommandScreener) -> list[BaseException | Refused | None]:
        questions = (screener.screen(question()) for _ in range(4))
        return await asyncio.gather(*questions, return_exceptions=True)

    found = asked(command(tmp_path, program), ask)
    assert [str(error) for error in found] == ["the program has ended"] * 4


def test_who_gives_up_takes_no_question_back(tmp_path: Path) -> None:
    """Its place is free once the program has answered it, and the answer is nobody's."""
    program = """
first = next(questions())
second = None
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
answer(first)
for q in questions():
    answer(q, "refuse", code="SECOND")
"""
    go_on = tmp_path / "go-on"

    async def ask(screener: CommandScreener) -> Refused | None:
        first = asyncio.create_task(screener.screen(question()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first, 0.05)
        second = asyncio.create_task(screener.screen(question()))
        await asyncio.sleep(0)
        assert not second.done()
        go_on.touch()
        return await second

    found = asked(command(tmp_path, program, str(go_on)), ask, max_in_flight=1)
    assert found == Refused("SECOND", "")


def test_it_gets_no_secret_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIMASE_SERVE_REST_TOKEN", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PRIMASE_SCREENER_LIST", "list.txt")
    program = "answer(next(questions()), 'refuse', message=json.dumps(sorted(os.environ)))"
    refused = asked(command(tmp_path, program), lambda s: s.screen(question()))
    assert "PRIMASE_SCREENER_LIST" in refused.message
    assert "PATH" in refused.message
    assert "TOKEN" not in refused.message


def test_it_ends_with_the_server(tmp_path: Path) -> None:
    program = "answer(next(questions()), 'refuse', code=str(os.getpid()))\nsys.stdin.read()"
    refused = asked(command(tmp_path, program), lambda s: s.screen(question()))
    with pytest.raises(ProcessLookupError):
        os.kill(int(refused.code), 0)


def test_a_program_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    async def start() -> None:
        await CommandScreener([str(tmp_path / "nothing")], 1, ANSWER_S).start()

    with pytest.raises(FileNotFoundError):
        asyncio.run(start())


def test_one_that_is_gone_when_it_is_needed_again_is_no_verdict(tmp_path: Path) -> None:
    clock = Clock()
    shim = tmp_path / "shim"
    shim.write_text("#!/bin/sh\nread line\n")
    shim.chmod(0o700)

    async def ask(screener: CommandScreener) -> None:
        for why in ("the program has ended", "does not start: No such file or directory"):
            with pytest.raises(ScreenerFailed, match=why):
                await screener.screen(question())
            shim.unlink(missing_ok=True)
            clock.now_s += RESTART_S

    asked((str(shim),), ask, clock=clock)


def test_allowing_is_quick_enough_for_every_sample(tmp_path: Path) -> None:
    async def ask(screener: CommandScreener) -> list[Refused | None]:
        return await asyncio.gather(*(screener.screen(question()) for _ in range(500)))

    assert asked(command(tmp_path, ALLOW), ask) == [None] * 500
