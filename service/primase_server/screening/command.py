"""A program as the screener: one process that lives as long as the server, asked line by line.

    server ── {"id": 7, "kind": "dna", "sequence": "ACGT…", …} ──▶ standard input
    server ◀─ {"id": 7, "verdict": "allow"} ───────────────────── standard output

A process for each sample would load its lists again each time. Answers may come in any order.
Whatever is not an answer ends the process, and what it was asked has no verdict; the next question
starts it again, though not at once.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from primase_server.screening.screener import Question, Refused, ScreenerFailed

log = structlog.get_logger()

MAX_ANSWER_BYTES = 64 * 1024
RESTART_S = 1.0
"""From one start to the next, at least."""

CLOSE_S = 2.0
"""Time to end by itself once its standard input has ended."""

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
OWN_PREFIX = "PRIMASE_SCREENER_"
"""Of the environment the program gets these, and none of what the server may keep secret."""


class CommandScreener:
    """`command` is a program and its arguments, run without a shell.

    max_in_flight: questions that it has at once; more wait here. answer_s: for one answer, after
    which it counts as stuck and is ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        max_in_flight: int,
        answer_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._slots = asyncio.Semaphore(max_in_flight)
        self._answer_s = answer_s
        self._clock = clock
        self._starting = asyncio.Lock()
        self._program: _Program | None = None
        self._started_s = 0.0

    async def start(self) -> None:
        """See Screener."""
        self._started_s = self._clock()
        self._program = await _Program.start(self._command, self._answer_s)

    async def screen(self, question: Question) -> Refused | None:
        """See Screener."""
        await self._slots.acquire()
        try:
            answer = (await self._running()).ask(question)
        except BaseException:
            self._slots.release()
            raise
        # who gives up waiting does not take the question back
        answer.add_done_callback(self._free)
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """See Screener."""
        if self._program is not None:
            await self._program.close()

    def _free(self, answer: "asyncio.Future[Refused | None]") -> None:
        answer.exception()  # nobody may be left to hear of it
        self._slots.release()

    async def _running(self) -> "_Program":
        async with self._starting:
            if self._program is not None and not self._program.has_ended:
                return self._program
            if self._clock() - self._started_s < RESTART_S:
                raise ScreenerFailed("the program has just ended")
            try:
                await self.start()
            except OSError as error:
                raise ScreenerFailed(f"the program does not start: {error.strerror}") from error
            assert self._program is not None
            return self._program


class _Program:
    """One run of it."""

    def __init__(self, process: asyncio.subprocess.Process, answer_s: float) -> None:
        self._process = process
        self._answer_s = answer_s
        self._asked: dict[int, asyncio.Future[Refused | None]] = {}
        self._num_asked = 0
        self._why = "the program has ended"
        self.has_ended = False
        self._is_closing = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, command: Sequence[str], answer_s: float) -> "_Program":
        """Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # it may repeat what it was asked
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(os.environ),
            limit=MAX_ANSWER_BYTES,
            # Ctrl-C is for the server, which has samples to end
            start_new_session=True,
        )
        return cls(process, answer_s)

    def ask(self, question: Question) -> "asyncio.Future[Refused | None]":
        """Its answer, or ScreenerFailed."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Refused | None] = loop.create_future()
        if self.has_ended:
            answer.set_exception(ScreenerFailed(self._why))
            return answer
        number = self._num_asked
        self._num_asked += 1
        self._asked[number] = answer
        timer = loop.call_later(self._answer_s, self._end, "the program does not answer")
        answer.add_done_callback(lambda _: timer.cancel())
        stdin = self._process.stdin
        assert stdin is not None
        # what is not read yet is bounded by the number of questions
        stdin.write(_line(number, question))
        return answer

    async def close(self) -> None:
        """Let it end by itself, for a while."""
        self._is_closing = True
        self._why = "the server is stopping"
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        await asyncio.wait({self._reading}, timeout=CLOSE_S)
        self._end(self._why)
        await self._reading

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                number, verdict = _answer(line)
                if number not in self._asked:
                    raise ValueError("an answer to what was not asked")
                self._asked.pop(number).set_result(verdict)
        except ValueError as error:  # also of a line without end
            self._why = f"the program does not keep to the protocol: {error}"
        finally:
            self._end(self._why)
            status = await self._process.wait()
            if not self._is_closing:
                log.warning("screener_ended", why=self._why, status=status)

    def _end(self, why: str) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        self._why = why
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for answer in tuple(self._asked.values()):
            answer.set_exception(ScreenerFailed(why))
        self._asked.clear()


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in given.items()
        if name in PASSED_ON or name.startswith(OWN_PREFIX)
    }


def _line(number: int, question: Question) -> bytes:
    fields = {
        "id": number,
        "request_id": question.request_id,
        "caller": question.caller,
        "model": question.model,
        "kind": question.kind.value,
        "sequence": question.sequence,
        "prompt": question.prompt,
        "item_index": question.item_index,
        "sample_index": question.sample_index,
    }
    return json.dumps(fields).encode() + b"\n"


def _answer(line: bytes) -> tuple[int, Refused | None]:
    """Its number and verdict. Raises ValueError, whose text repeats nothing of the line."""
    try:
        told: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("a line is not JSON") from None
    if not isinstance(told, dict) or type(told.get("id")) is not int:
        raise ValueError("a line is not an object with the id of a question")
    if told.get("verdict") == "allow":
        return told["id"], None
    if told.get("verdict") == "refuse":
        return told["id"], Refused.of(str(told.get("code", "")), str(told.get("message", "")))
    raise ValueError("a verdict is neither allow nor refuse")
