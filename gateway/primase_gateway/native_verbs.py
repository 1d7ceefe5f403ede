"""The calls of the contract that take a model, by the verb that stands for each in a path.

A call that answers with a stream is a JSON array of its messages, written as they come; one that
is followed live is server-sent events.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase_gateway.disconnect import while_connected
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.native_streams import ArrayAnswer, EventsAnswer, Messages, StreamAnswer, dump
from primase_gateway.proto_schema import Schema
from primase_gateway.service import Service

UnaryMethod = grpc.aio.UnaryUnaryMultiCallable[Any, Any]
StreamMethod = grpc.aio.UnaryStreamMultiCallable[Any, Any]


@dataclass(frozen=True)
class Verb:
    """A call that answers with one message."""

    request: type[Message]
    response: type[Message]
    method: Callable[[Service], UnaryMethod]
    content_type = MEDIA_TYPE

    def described(self, message: Schema) -> Schema:
        """The schema of an answer, where `message` is that of its message."""
        return message

    async def answer(self, request: Request, service: Service, message: Message) -> Response:
        """Do it. Raises Refusal."""
        done = await while_connected(request, service.call(self.method(service), message))
        return Response(await dump(done), media_type=MEDIA_TYPE)


@dataclass(frozen=True)
class StreamVerb:
    """A call that answers with many."""

    request: type[Message]
    response: type[Message]
    method: Callable[[Service], StreamMethod]
    answer_type: type[StreamAnswer] = ArrayAnswer

    @property
    def content_type(self) -> str:
        """Of the answer."""
        return self.answer_type.content_type

    def described(self, message: Schema) -> Schema:
        """The schema of an answer, where `message` is that of each of its messages."""
        return self.answer_type.described(message)

    async def answer(self, request: Request, service: Service, message: Message) -> Response:
        """Do it, as far as the first message. Raises Refusal."""
        messages = service.stream(self.method(service), message)
        first = await while_connected(request, _next(messages))
        return self.answer_type(first, messages)


async def _next(messages: Messages) -> Message | None:
    return await anext(messages, None)


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
    "generate": Verb(evo2_pb.GenerateRequest, evo2_pb.GenerateResponse, lambda s: s.evo2.Generate),
    "streamGenerate": StreamVerb(
        evo2_pb.StreamGenerateRequest,
        evo2_pb.StreamGenerateResponse,
        lambda s: s.evo2.StreamGenerate,
        EventsAnswer,
    ),
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
PROGEN2: Mapping[str, AnyVerb] = {
    "generate": Verb(
        progen2_pb.GenerateRequest, progen2_pb.GenerateResponse, lambda s: s.progen2.Generate
    ),
    "streamGenerate": StreamVerb(
        progen2_pb.StreamGenerateRequest,
        progen2_pb.StreamGenerateResponse,
        lambda s: s.progen2.StreamGenerate,
        EventsAnswer,
    ),
    "score": Verb(
        progen2_pb.ScoreSequencesRequest,
        progen2_pb.ScoreSequencesResponse,
        lambda s: s.progen2.ScoreSequences,
    ),
    "streamScore": StreamVerb(
        progen2_pb.StreamScoreSequencesRequest,
        progen2_pb.StreamScoreSequencesResponse,
        lambda s: s.progen2.StreamScoreSequences,
    ),
}
VERBS: Mapping[models_pb.ModelFamily.ValueType, Mapping[str, AnyVerb]] = {
    models_pb.MODEL_FAMILY_ESM2: ESM2,
    models_pb.MODEL_FAMILY_EVO2: EVO2,
    models_pb.MODEL_FAMILY_PROGEN2: PROGEN2,
}
