"""The calls of the contract that take a model, by the verb that stands for each in a path.

A call that answers with a stream is a JSON array of its messages, written as they come.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import proto_json
from primase_gateway.disconnect import while_connected
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.service import Service

# Longer messages are written on another thread, so that the event loop goes on answering.
LARGE_MESSAGE_BYTES = 64 * 1024

UnaryMethod = grpc.aio.UnaryUnaryMultiCallable[Any, Any]
StreamMethod = grpc.aio.UnaryStreamMultiCallable[Any, Any]
Messages = AsyncGenerator[Message, None]


@dataclass(frozen=True)
class Verb:
    """A call that answers with one message."""

    request: type[Message]
    response: type[Message]
    method: Callable[[Service], UnaryMethod]
    is_stream = False

    async def answer(self, request: Request, service: Service, message: Message) -> Response:
        """Do it. Raises Refusal."""
        done = await while_connected(request, service.call(self.method(service), message))
        return Response(await _dump(done), media_type=MEDIA_TYPE)


@dataclass(frozen=True)
class StreamVerb:
    """A call that answers with many."""

    request: type[Message]
    response: type[Message]
    method: Callable[[Service], StreamMethod]
    is_stream = True

    async def answer(self, request: Request, service: Service, message: Message) -> Response:
        """Do it, as far as the first message. Raises Refusal; later ones end the connection."""
        messages = service.stream(self.method(service), message)
        first = await while_connected(request, _next(messages))
        return _ArrayAnswer(first, messages)


async def _next(messages: Messages) -> Message | None:
    return await anext(messages, None)


class _ArrayAnswer(StreamingResponse):
    """`first`, if there was one, and what follows it; closes `rest` when sent or given up."""

    def __init__(self, first: Message | None, rest: Messages) -> None:
        super().__init__(self._array(first), media_type=MEDIA_TYPE)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._rest.aclose()

    async def _array(self, first: Message | None) -> AsyncIterator[bytes]:
        yield b"["
        if first is not None:
            yield await _dump(first)
        async for message in self._rest:
            yield b"," + await _dump(message)
        yield b"]"


async def _dump(message: Message) -> bytes:
    if message.ByteSize() > LARGE_MESSAGE_BYTES:
        return await asyncio.to_thread(proto_json.dump, message)
    return proto_json.dump(message)


AnyVerb = Verb | StreamVerb

ESM2: Mapping[str, AnyVerb] = {
    "encode": Verb(esm2_pb.EncodeRequest, esm2_pb.EncodeResponse, lambda s: s.esm2.Encode),
    "predict": Verb(esm2_pb.PredictRequest, esm2_pb.PredictResponse, lambda s: s.esm2.Predict),
    "streamEncode": StreamVerb(
        esm2_pb.StreamEncodeRequest, esm2_pb.StreamEncodeResponse, lambda s: s.esm2.StreamEncode
    ),
    "streamScore": StreamVerb(
        esm2_pb.StreamScoreSequencesRequest,
        esm2_pb.StreamScoreSequencesResponse,
        lambda s: s.esm2.StreamScoreSequences,
    ),
    "scoreVariants": StreamVerb(
        esm2_pb.StreamScoreVariantsRequest,
        esm2_pb.StreamScoreVariantsResponse,
        lambda s: s.esm2.StreamScoreVariants,
    ),
}
EVO2: Mapping[str, AnyVerb] = {
    "forward": Verb(evo2_pb.ForwardRequest, evo2_pb.ForwardResponse, lambda s: s.evo2.Forward),
    "score": Verb(
        evo2_pb.ScoreSequencesRequest,
        evo2_pb.ScoreSequencesResponse,
        lambda s: s.evo2.ScoreSequences,
    ),
    "streamForward": StreamVerb(
        evo2_pb.StreamForwardRequest, evo2_pb.StreamForwardResponse, lambda s: s.evo2.StreamForward
    ),
    "streamScore": StreamVerb(
        evo2_pb.StreamScoreSequencesRequest,
        evo2_pb.StreamScoreSequencesResponse,
        lambda s: s.evo2.StreamScoreSequences,
    ),
    "scoreVariants": StreamVerb(
        evo2_pb.StreamScoreVariantsRequest,
        evo2_pb.StreamScoreVariantsResponse,
        lambda s: s.evo2.StreamScoreVariants,
    ),
    "scanVariants": StreamVerb(
        evo2_pb.StreamScanVariantsRequest,
        evo2_pb.StreamScanVariantsResponse,
        lambda s: s.evo2.StreamScanVariants,
    ),
}
VERBS: Mapping[models_pb.ModelFamily.ValueType, Mapping[str, AnyVerb]] = {
    models_pb.MODEL_FAMILY_ESM2: ESM2,
    models_pb.MODEL_FAMILY_EVO2: EVO2,
}
