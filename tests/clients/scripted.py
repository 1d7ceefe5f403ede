"""Servers on port 0 that answer as a test tells them, and both clients behind one face."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

import primase
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.esm2.v1 import esm2_service_pb2_grpc
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2 as models_pb2
from primase.models.v1 import model_service_pb2_grpc
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase.type.v1.tensor_pb2 import TensorSlice

Result = TypeVar("Result")
Use = Callable[[Any], Any]
Responses = Iterator[Any]
Manner = Callable[[Responses, grpc.ServicerContext], Responses]


def at_once(responses: Responses, context: grpc.ServicerContext) -> Responses:
    """All of them."""
    return responses


class Scripted:
    """Answers every call by `answer(request, context)`, and keeps the requests."""

    def __init__(self, answer: Callable[[Any, grpc.ServicerContext], Any]) -> None:
        self._answer = answer
        self.requests: list[Any] = []

    def _call(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self._answer(request, context)


class ScriptedEsm2(Scripted, esm2_service_pb2_grpc.Esm2ServiceServicer):
    """An ESM-2 service."""

    Encode = Scripted._call
    StreamEncode = Scripted._call
    Predict = Scripted._call
    StreamScoreSequences = Scripted._call
    StreamScoreVariants = Scripted._call


class ScriptedEvo2(Scripted, evo2_service_pb2_grpc.Evo2ServiceServicer):
    """An Evo 2 service."""

    Generate = Scripted._call
    StreamGenerate = Scripted._call
    Forward = Scripted._call
    ScoreSequences = Scripted._call
    StreamForward = Scripted._call
    StreamScoreSequences = Scripted._call
    StreamScoreVariants = Scripted._call
    StreamScanVariants = Scripted._call


class ScriptedProGen2(Scripted, progen2_service_pb2_grpc.ProGen2ServiceServicer):
    """A ProGen2 service."""

    Generate = Scripted._call
    StreamGenerate = Scripted._call
    ScoreSequences = Scripted._call
    StreamScoreSequences = Scripted._call


class NamedModels(Scripted, model_service_pb2_grpc.ModelServiceServicer):
    """Knows every model, and its family by its name; what it does not say is ESM-2."""

    ListModels = Scripted._call
    GetModel = Scripted._call
    Estimate = Scripted._call


FAMILIES = {
    "evo2": models_pb2.MODEL_FAMILY_EVO2,
    "progen2": models_pb2.MODEL_FAMILY_PROGEN2,
}


def named_model(request: models_pb2.GetModelRequest, context: Any) -> models_pb2.GetModelResponse:
    """Of `NamedModels`."""
    family = FAMILIES.get(request.model.partition("-")[0], models_pb2.MODEL_FAMILY_ESM2)
    return models_pb2.GetModelResponse(model=models_pb2.Model(name=request.model, family=family))


@contextmanager
def serving(
    *,
    esm2: esm2_service_pb2_grpc.Esm2ServiceServicer | None = None,
    evo2: evo2_service_pb2_grpc.Evo2ServiceServicer | None = None,
    progen2: progen2_service_pb2_grpc.ProGen2ServiceServicer | None = None,
    models: model_service_pb2_grpc.ModelServiceServicer | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[str]:
    """A server with default options; gives its address."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        if esm2 is not None:
            esm2_service_pb2_grpc.add_Esm2ServiceServicer_to_server(esm2, server)
        if evo2 is not None:
            evo2_service_pb2_grpc.add_Evo2ServiceServicer_to_server(evo2, server)
        if progen2 is not None:
            progen2_service_pb2_grpc.add_ProGen2ServiceServicer_to_server(progen2, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            models or NamedModels(named_model), server
        )
        if credentials is None:
            port = server.add_insecure_port("localhost:0")
        else:
            port = server.add_secure_port("localhost:0", credentials)
        server.start()
        try:
            yield f"localhost:{port}"
        finally:
            server.stop(None).wait()


def with_client(target: str, use: Use, **options: Any) -> Any:
    """What `use` makes of a blocking client; a list where it gives an iterator."""
    with primase.connect(target, **options) as client:
        result = use(client)
        return list(result) if isinstance(result, Iterator) else result


def with_async_client(target: str, use: Use, **options: Any) -> Any:
    """What `use` makes of an asyncio client; a list where it gives an iterator."""

    async def run() -> Any:
        async with primase.connect_async(target, **options) as client:
            result = use(client)
            if isinstance(result, AsyncIterator):
                return [item async for item in result]
            return await result

    return asyncio.run(run())


BOTH_CLIENTS = (with_client, with_async_client)


def status(
    code: grpc.StatusCode, reason: str, message: str = "", *details: Message
) -> status_pb2.Status:
    """An error as Primase servers send it."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="primase")
    return status_pb2.Status(
        code=code.value[0], message=message, details=[packed(info), *map(packed, details)]
    )


def packed(message: Message) -> PackedMessage:
    """A detail of a status."""
    detail = PackedMessage()
    detail.Pack(message)
    return detail


def bad_request(*violations: tuple[str, str, str]) -> Message:
    """Violations as field, description, reason."""
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=f, description=d, reason=r)
            for f, d, r in violations
        ]
    )


def abort(
    context: grpc.ServicerContext, sent: status_pb2.Status, retry_pushback_ms: int | None = None
) -> NoReturn:
    """End the call with `sent`."""
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    if sent.details:
        metadata = (("grpc-status-details-bin", sent.SerializeToString()),)
    if retry_pushback_ms is not None:
        metadata = (*metadata, ("grpc-retry-pushback-ms", str(retry_pushback_ms)))
    context.set_trailing_metadata(metadata)
    code = next(code for code in grpc.StatusCode if code.value[0] == sent.code)
    context.abort(code, sent.message)
    raise AssertionError


def mean_rows(item_index: int, mean: bytes, layer: int = 6) -> esm2_pb2.StreamEncodeResponse:
    """The whole encoding of an item: a mean of float32 numbers."""
    piece = esm2_pb2.EncodingSlice(
        kind=esm2_pb2.INCLUDE_MEAN,
        layer=layer,
        slice=TensorSlice(shape=[len(mean) // 4], data=mean),
    )
    rows = esm2_pb2.EncodingRows(slices=[piece], num_residues=1, last=True)
    return esm2_pb2.StreamEncodeResponse(item_index=item_index, rows=rows)
