"""A process of its own that makes something once and then answers, one question at a time."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Answer = Callable[..., Any]


class Worker:
    """`make(*arguments)` gives, in the new process, what answers every question there."""

    def __init__(self, make: Callable[..., Answer], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        assert self._connection.recv() == "ready"

    def ask(self, *question: Any) -> Any:
        """What comes back. Raises EOFError or OSError where the process died of it."""
        self._connection.send(question)
        return self._connection.recv()

    def stop(self) -> None:
        """Have no more of it."""
        self._process.terminate()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., Answer], arguments: tuple[Any, ...]) -> None:
    answer = make(*arguments)
    connection.send("ready")
    while True:
        connection.send(answer(*connection.recv()))
