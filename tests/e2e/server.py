"""The installed command `primase serve`, run as a user would, and what it says of itself."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

COMMAND = Path(sys.executable).parent / "primase"
FREE_PORTS = ("--grpc-port=0", "--rest-port=0")
START_S = 60.0
STOP_S = 60.0

LogLine = Mapping[str, Any]


class Log:
    """Every line that the server and its gateway write, read on a thread as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self.text: list[str] = []
        self._lines: list[LogLine] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def wait_for(self, is_it: Callable[[LogLine], bool], timeout_s: float) -> LogLine:
        """The first line that is it. AssertionError where the log ends, or time runs out, first."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: next(filter(is_it, self._lines), None) or self._has_ended, timeout_s
            )
        if not isinstance(found, Mapping):
            raise AssertionError("the server never said so; it said:\n" + "".join(self.text))
        return found

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until nobody can write any more: server and gateway have ended."""
        self._reader.join(timeout_s)
        assert self._has_ended, "some process of the server is still there"

    def _read(self, stream: IO[str]) -> None:
        for text in stream:
            with self._changed:
                self.text.append(text)
                self._lines.append(parsed(text))
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


def parsed(text: str) -> LogLine:
    """A line of the log; empty where it is none of ours."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


class Server:
    """A running server and its ports."""

    def __init__(self, process: "subprocess.Popen[str]", log: Log) -> None:
        self.process = process
        self.log = log
        ports = log.wait_for(lambda line: "grpc_port" in line, START_S)
        self.grpc_port = int(ports["grpc_port"])
        self.rest_port = int(ports["rest_port"])

    @property
    def target(self) -> str:
        """Where gRPC answers."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def url(self) -> str:
        """Where REST answers."""
        return f"http://127.0.0.1:{self.rest_port}"

    def wait_until_loaded(self, timeout_s: float = START_S) -> None:
        """Wait until every model has been loaded."""
        states = self.log.wait_for(lambda line: "states" in line, timeout_s)["states"]
        assert set(states.values()) == {"ready"}, states

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """The exit status, once the server and its gateway have ended."""
        until_s = time.monotonic() + timeout_s
        status = self.process.wait(timeout_s)
        self.log.wait_for_end(until_s - time.monotonic())
        return status


@contextmanager
def serving(
    *arguments: str, ports: Sequence[str] = FREE_PORTS, load_s: float = START_S
) -> Iterator[Server]:
    """`primase serve` with these arguments, its models loaded; always ended."""
    process = subprocess.Popen(
        [COMMAND, "serve", *arguments, *ports], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    log = Log(process.stderr)
    try:
        server = Server(process, log)
        server.wait_until_loaded(load_s)
        yield server
    finally:
        process.kill()
        process.wait()
        log.wait_for_end(STOP_S)
        process.stderr.close()
