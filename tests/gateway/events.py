"""Server-sent events as a client reads them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import httpx


class Event(NamedTuple):
    """One of them."""

    name: str
    data: str


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """By the rules of the HTML standard: fields in any order, an empty line ends an event."""
    name, data = "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Event(name, "\n".join(data))
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)


def events(answer: httpx.Response) -> list[Event]:
    """All events of a good answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    return list(read_events(answer.text.split("\n")))
