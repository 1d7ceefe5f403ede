"""The verdict on each sample: asked for in time, counted, logged by its code, never left out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from primase_server.errors import (
    PrimaseError,
    QueueFull,
    RequestTooLarge,
    ScreeningUnavailable,
    SequenceRefused,
)
from primase_server.screening.command import CommandScreener
from primase_server.screening.remote import RemoteScreener
from primase_server.screening.screener import Question, Refused, Screener, ScreenerFailed
from primase_server.settings import Screening as Settings

log = structlog.get_logger()

ALLOWED, REFUSED, FAILED = "allowed", "refused", "failed"

RETRY_S = 1.0
"""When a screener is back, or another call has ended, is not known."""


class ScreeningObserver(Protocol):
    """Where metrics hook in."""

    def screened(self, model: str, verdict: str) -> None:
        """There is a verdict on a sample, or none: `allowed`, `refused` or `failed`."""


class SilentObserver:
    """Observes nothing."""

    def screened(self, model: str, verdict: str) -> None:
        """Do nothing."""


class HeldRoom:
    """Memory for samples that wait for their verdict, over all calls. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    @contextmanager
    def reserved(self, num_bytes: int) -> Iterator[None]:
        """For all samples of a call. Raises QueueFull, or RequestTooLarge for what never fits."""
        if num_bytes > self._max_bytes:
            raise RequestTooLarge(
                "this server holds samples until they are screened; those of this request may "
                f"need {num_bytes} bytes, and there are {self._max_bytes}: ask for fewer samples, "
                "fewer tokens, or less of each token at a time"
            )
        if self.num_bytes + num_bytes > self._max_bytes:
            raise QueueFull(
                "there is no room now for the samples of this request until they are screened",
                RETRY_S,
            )
        self.num_bytes += num_bytes
        try:
            yield
        finally:
            self.num_bytes -= num_bytes


class Screening:
    """Asks one screener. `verdict_s`: from the end of a sample, all waiting included."""

    def __init__(
        self,
        screener: Screener,
        verdict_s: float,
        max_held_bytes: int,
        observer: ScreeningObserver | None = None,
    ) -> None:
        self._screener = screener
        self._verdict_s = verdict_s
        self._observer = observer or SilentObserver()
        self.room = HeldRoom(max_held_bytes)

    async def start(self) -> None:
        """Raises OSError where nothing could ever be asked."""
        await self._screener.start()

    async def close(self) -> None:
        """Nothing more will be asked."""
        await self._screener.close()

    async def error_of(self, question: Question) -> PrimaseError | None:
        """Why the sample may not be told; None where the screener allows it."""
        known = {
            "request_id": question.request_id,
            "model": question.model,
            "item_index": question.item_index,
            "sample_index": question.sample_index,
        }
        try:
            refused = await self._asked(question)
        except ScreenerFailed as failed:
            log.warning("screening_failed", why=str(failed), **known)
            self._observer.screened(question.model, FAILED)
            return ScreeningUnavailable(
                "this server screens what it generates, and there is no verdict on this sample",
                RETRY_S,
            )
        if refused is None:
            self._observer.screened(question.model, ALLOWED)
            return None
        log.info("sample_refused", code=refused.code, **known)
        self._observer.screened(question.model, REFUSED)
        return SequenceRefused(refused.code, refused.message)

    async def _asked(self, question: Question) -> Refused | None:
        try:
            async with asyncio.timeout(self._verdict_s):
                return await self._screener.screen(question)
        except ScreenerFailed:
            raise
        except TimeoutError as error:
            raise ScreenerFailed(f"no verdict in {self._verdict_s:g} s") from error
        except Exception as error:
            # whatever it is, it is not that the sample is allowed
            raise ScreenerFailed(type(error).__name__) from error


def configured(settings: Settings, observer: ScreeningObserver | None) -> Screening | None:
    """As the operator says; None where nobody is to be asked. Raises OSError for TLS files."""
    screener: Screener
    if settings.command:
        screener = CommandScreener(settings.command, settings.max_in_flight, settings.timeout_s)
    elif settings.target:
        screener = RemoteScreener(
            settings.target,
            settings.max_in_flight,
            settings.timeout_s,
            settings.ca,
            settings.cert,
            settings.key,
        )
    else:
        return None
    return Screening(screener, settings.timeout_s, settings.max_held_bytes, observer)
