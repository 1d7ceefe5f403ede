"""The gRPC service behind the gateway: one channel, deadlines on calls, errors as refusals."""

from collections.abc import AsyncGenerator
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from primase.esm2.v1 import esm2_service_pb2_grpc
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2_grpc
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase_gateway import timings
from primase_gateway.edge import current_credentials, current_request_id, mark_precision
from primase_gateway.errors import from_rpc_error
from primase_gateway.tracing import HEADER, current_traceparent

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

CHANNEL_OPTIONS = (
    # The service is ours: a proxy in the environment is meant for the world outside.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 << 20),
    # A service that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
# Over REST nobody says whether a request was refused before, and comes back as it was told.
MAY_BE_BACK = ("x-primase-is-back", "1")
HEALTH_METHOD = "/grpc.health.v1.Health/Check"
# Probes commonly wait for a second.
HEALTH_DEADLINE_S = 0.8


class Service:
    """Stubs on one channel. Create it on the event loop that uses it.

    passes_credentials: whether the clients' `authorization` is meant for the service.
    """

    def __init__(
        self,
        server: str,
        deadline_s: float,
        *,
        encryption: grpc.ChannelCredentials | None = None,
        passes_credentials: bool = True,
    ) -> None:
        if encryption is None:
            self._channel = grpc.aio.insecure_channel(server, options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(server, encryption, options=CHANNEL_OPTIONS)
        self._deadline_s = deadline_s
        self._passes_credentials = passes_credentials
        self.models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self.esm2 = esm2_service_pb2_grpc.Esm2ServiceStub(self._channel)
        self.evo2 = evo2_service_pb2_grpc.Evo2ServiceStub(self._channel)
        self.progen2 = progen2_service_pb2_grpc.ProGen2ServiceStub(self._channel)
        self._check_health = self._channel.unary_unary(
            HEALTH_METHOD,
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )

    async def close(self) -> None:
        """End the calls in progress and the channel."""
        await self._channel.close()

    async def call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Req, Resp]", request: Req
    ) -> Resp:
        """One answer for one request. Raises Refusal."""
        call = method(request, timeout=self._deadline_s, metadata=self._metadata())
        try:
            answer = await call
            mark_precision(await call.initial_metadata())
            timings.note(await call.trailing_metadata())
            return answer
        except grpc.aio.AioRpcError as error:
            timings.note(error.trailing_metadata())
            raise from_rpc_error(error) from None
        finally:
            call.cancel()

    async def stream(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Req, Resp]",
        request: Req,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[Resp, None]:
        """Many answers for one request; close the iterator to cancel the call. Raises Refusal."""
        call = method(request, timeout=deadline_s or self._deadline_s, metadata=self._metadata())
        try:
            async for response in call:
                mark_precision(await call.initial_metadata())
                yield response
            timings.note(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            timings.note(error.trailing_metadata())
            raise from_rpc_error(error) from None
        finally:
            call.cancel()

    async def serving(self, name: str) -> bool:
        """Whether the part of the service called `name` serves: its own word, in time for a probe.

        The empty name is that of the whole: every configured model answers.
        """
        try:
            answer: HealthCheckResponse = await self._check_health(
                HealthCheckRequest(service=name), timeout=HEALTH_DEADLINE_S
            )
        except grpc.aio.AioRpcError:
            return False
        return answer.status == HealthCheckResponse.SERVING

    @property
    def credentials(self) -> str:
        """What the client of this request sent for the service to know it by; empty for none."""
        return current_credentials.get() if self._passes_credentials else ""

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        request_id = ("x-request-id", current_request_id.get())
        others = {"authorization": self.credentials, HEADER: current_traceparent.get()}
        return (
            request_id,
            MAY_BE_BACK,
            *((key, value) for key, value in others.items() if value),
        )
