"""From a request's entries to a job, and from its events back to them, for every family."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from primase.type.v1 import usage_pb2
from primase_server.engine.engine import Engine
from primase_server.engine.events import Failed, ItemFailed, ItemFinished, ItemPart
from primase_server.engine.job import Item, Job
from primase_server.errors import (
    InternalError,
    InvalidRequest,
    InvalidSequence,
    PrimaseError,
    Violation,
)
from primase_server.rpc.call import current_call
from primase_server.rpc.concerns import LARGE_REQUEST_BYTES
from primase_server.rpc.status import to_status
from primase_server.rpc.validation import violations

Entry = TypeVar("Entry", bound=Message)
Work = TypeVar("Work", bound=Item)
Built = TypeVar("Built")
Answer = TypeVar("Answer", bound=Message)
Result = TypeVar("Result")
Build = Callable[[Entry], Built]
Outcome = ItemPart | ItemFinished | ItemFailed


async def build_each(
    entries: Sequence[Entry], build: Build[Entry, Built]
) -> list[Built | PrimaseError]:
    """Every entry as work, or the error that is reported in its place."""
    if sum(entry.ByteSize() for entry in entries) > LARGE_REQUEST_BYTES:
        return await asyncio.to_thread(_build_each, entries, build)
    return _build_each(entries, build)


async def build_all(entries: Sequence[Entry], build: Build[Entry, Built]) -> list[Built]:
    """Every entry as work. Raises one InvalidRequest that names every bad one."""
    items: list[Built] = []
    broken: list[Violation] = []
    for index, item in enumerate(await build_each(entries, build)):
        if isinstance(item, InvalidRequest):
            broken += item.under(f"items[{index}]").violations
        elif isinstance(item, PrimaseError):
            raise item
        else:
            items.append(item)
    if broken:
        raise InvalidRequest(*broken)
    return items


async def outcomes(
    engine: Engine, model: str, items: Sequence[Item | PrimaseError]
) -> AsyncGenerator[Outcome]:
    """Run the items as one job of the current call; what became of each, in order, parts first.

    However the reader leaves, the job's queued work is freed.
    """
    call = current_call()
    caller = call.caller
    job = Job(
        model,
        call.request_id,
        items,
        caller.flow,
        call.deadline_s,
        caller.quotas,
        call.edition,
        call.retry,
    )
    ticket = engine.submit(job)
    call.note_admitted()
    try:
        async for event in ticket:
            if not isinstance(event, Outcome):
                raise InternalError("the engine answered one-shot work with something else")
            if isinstance(event, ItemFinished):
                call.note(event.timings)
            yield event
    finally:
        ticket.cancel()


async def answer_each(
    engine: Engine,
    model: str,
    entries: Sequence[Entry],
    build: Build[Entry, Work],
    finished: Callable[[Entry, ItemFinished], Iterator[Answer]],
    failed: Callable[[Entry, int, status_pb2.Status], Answer],
    part: Callable[[Entry, ItemPart], Iterator[Answer]] | None = None,
) -> AsyncGenerator[Answer]:
    """The messages of a stream: for each entry in order those of its result, or of its error.

    `part` makes those of the pieces of a result that come before its end.
    """
    items = await build_each(entries, build)
    async with aclosing(outcomes(engine, model, items)) as told:
        async for outcome in told:
            entry = entries[outcome.item_index]
            if isinstance(outcome, ItemFailed):
                yield failed(entry, outcome.item_index, failed_status(outcome))
            elif isinstance(outcome, ItemFinished):
                for message in finished(entry, outcome):
                    yield message
            elif part is not None:
                for message in part(entry, outcome):
                    yield message


async def finish_all(
    engine: Engine,
    model: str,
    items: Sequence[Item],
    part: Callable[[ItemPart], None] | None = None,
) -> list[ItemFinished]:
    """Run the items and return every result. Raises the error of the first that failed.

    `part` takes the pieces of results that come before their ends.
    """
    finished: list[ItemFinished] = []
    async for outcome in outcomes(engine, model, items):
        if isinstance(outcome, ItemFailed):
            raise in_place(outcome)
        if isinstance(outcome, ItemFinished):
            finished.append(outcome)
        elif part is not None:
            part(outcome)
    return finished


def value_of(event: ItemFinished | ItemPart, kind: type[Result]) -> Result:
    """The result in an event. Raises InternalError where it is that of other work."""
    if not isinstance(event.value, kind):
        raise InternalError("the engine answered with the result of other work")
    return event.value


def usage_of(items: Sequence[Item]) -> usage_pb2.Usage:
    """Tokens that a unary call read."""
    return usage_pb2.Usage(num_prompt_tokens=sum(item.num_tokens for item in items))


def failed_status(outcome: ItemFailed | Failed) -> status_pb2.Status:
    """The status that a stream reports for one item."""
    return to_status(in_place(outcome), current_call().request_id)


def in_place(outcome: ItemFailed | Failed) -> PrimaseError:
    """The item's error with field paths from the request down."""
    if isinstance(outcome.error, InvalidRequest):
        return outcome.error.under(f"items[{outcome.item_index}]")
    return outcome.error


def _build_each(entries: Sequence[Entry], build: Build[Entry, Built]) -> list[Built | PrimaseError]:
    return [_build(entry, build) for entry in entries]


def _build(entry: Entry, build: Build[Entry, Built]) -> Built | PrimaseError:
    broken = violations(entry)
    if broken:
        reasons = {violation.reason for violation in broken}
        return (InvalidSequence if reasons == {"INVALID_SEQUENCE"} else InvalidRequest)(*broken)
    try:
        return build(entry)
    except PrimaseError as error:
        return error
