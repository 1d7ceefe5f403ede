"""A gRPC service of the operator as the screener, `primase.screening.v1`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import grpc

from primase.screening.v1 import screening_service_pb2 as pb
from primase.screening.v1 import screening_service_pb2_grpc
from primase_server.screening.screener import Question, Refused, ScreenerFailed, SequenceKind

KINDS: Mapping[SequenceKind, pb.SequenceKind.ValueType] = {
    SequenceKind.DNA: pb.SEQUENCE_KIND_DNA,
    SequenceKind.PROTEIN: pb.SEQUENCE_KIND_PROTEIN,
}

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 64 * 1024),
    # a screener that is back is found again within seconds, not minutes
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # a proxy that is set for the web is none for sequences
    ("grpc.enable_http_proxy", 0),
)


class RemoteScreener:
    """At `target`, HOST:PORT or unix:PATH. Raises OSError for files that cannot be read.

    ca: PEM of the authorities of its certificate; None is no TLS. cert, key: our own.
    max_in_flight: questions that it has at once; more wait here. answer_s: for one answer.
    """

    def __init__(
        self,
        target: str,
        max_in_flight: int,
        answer_s: float,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        if ca is None:
            self._channel = grpc.aio.insecure_channel(target, OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(
                ca.read_bytes(),
                key.read_bytes() if key is not None else None,
                cert.read_bytes() if cert is not None else None,
            )
            self._channel = grpc.aio.secure_channel(target, credentials, OPTIONS)
        self._stub = screening_service_pb2_grpc.ScreeningServiceStub(self._channel)
        self._slots = asyncio.Semaphore(max_in_flight)
        self._answer_s = answer_s

    async def start(self) -> None:
        """See Screener. It may come later than this server."""

    async def screen(self, question: Question) -> Refused | None:
        """See Screener."""
        async with self._slots:
            try:
                told = await self._stub.Screen(_request(question), timeout=self._answer_s)
            except grpc.aio.AioRpcError as error:
                raise ScreenerFailed(f"the service answers {error.code().name}") from error
        if told.verdict == pb.VERDICT_ALLOW:
            return None
        if told.verdict == pb.VERDICT_REFUSE:
            return Refused.of(told.code, told.message)
        raise ScreenerFailed("the service answers without a verdict")

    async def close(self) -> None:
        """See Screener."""
        await self._channel.close()


def _request(question: Question) -> pb.ScreenRequest:
    return pb.ScreenRequest(
        request_id=question.request_id,
        caller=question.caller,
        model=question.model,
        kind=KINDS[question.kind],
        sequence=question.sequence,
        prompt=question.prompt,
        item_index=question.item_index,
        sample_index=question.sample_index,
    )
