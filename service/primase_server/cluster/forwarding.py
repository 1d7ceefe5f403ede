"""Services of a front end: calls go on to a replica as bytes, and its answers come back as bytes.

Identity, keys, quotas and rules are the edge's as everywhere (`rpc/concerns.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Sized
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from primase.esm2.v1 import esm2_service_pb2
from primase.evo2.v1 import evo2_service_pb2
from primase.models.v1 import model_service_pb2
from primase.progen2.v1 import progen2_service_pb2
from primase_server.cluster.attempts import LOST, Attempts
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.rpc.call import Context, current_call
from primase_server.rpc.concerns import LARGE_REQUEST_BYTES
from primase_server.rpc.model_messages import DEFAULTS
from primase_server.rpc.model_service import ModelServicer
from primase_server.settings import Limits

MODELS = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
FAMILIES: tuple[ServiceDescriptor, ...] = (
    esm2_service_pb2.DESCRIPTOR.services_by_name["Esm2Service"],
    evo2_service_pb2.DESCRIPTOR.services_by_name["Evo2Service"],
    progen2_service_pb2.DESCRIPTOR.services_by_name["ProGen2Service"],
)

Handlers = dict[str, Any]


class Forwarding:
    """Hands calls on to the replicas of the model that they name."""

    def __init__(self, engine: RemoteEngine, token: str) -> None:
        self._engine = engine
        self._token = token

    def add_services(self, server: grpc.aio.Server, limits: Limits) -> None:
        """Let a server answer for the models of the cluster; lists of models are its own."""
        models = ModelServicer(self._engine, self._engine.registry, limits)
        own = {
            "ListModels": _own(MODELS.methods_by_name["ListModels"], models.ListModels),
            "GetModel": _own(MODELS.methods_by_name["GetModel"], models.GetModel),
        }
        _add(server, MODELS, {**self._handlers(MODELS), **own})
        for service in FAMILIES:
            _add(server, service, self._handlers(service))

    def _handlers(self, service: ServiceDescriptor) -> Handlers:
        return {method.name: self._handler(method) for method in service.methods}

    def _handler(self, method: MethodDescriptor) -> Any:
        path = f"/{method.containing_service.full_name}/{method.name}"
        parse = GetMessageClass(method.input_type).FromString
        if method.server_streaming:

            def stream(request: Message, context: Context) -> AsyncIterator[bytes]:
                return self.stream(path, request)

            return grpc.unary_stream_rpc_method_handler(stream, parse)

        async def unary(request: Message, context: Context) -> bytes:
            return await self.unary(path, request)

        return grpc.unary_unary_rpc_method_handler(unary, parse)

    async def unary(self, path: str, request: Message) -> bytes:
        """The answer of the replica that takes the call."""
        attempts, data = self._attempts(request), await _bytes_of(request)
        async with attempts.whole():
            while True:
                async with attempts.next() as link:
                    rpc = link.unary(path)(
                        data, timeout=attempts.timeout_s, metadata=attempts.metadata
                    )
                    try:
                        answer = await rpc
                    except LOST as error:
                        attempts.failed(link, error)
                        continue
                    await attempts.begins(rpc)
                    await attempts.ended(rpc)
                    return answer

    async def stream(self, path: str, request: Message) -> AsyncIterator[bytes]:
        """The messages of the replica that takes the call, each as it is asked for.

        What the caller does not read stays with the replica, whose job then waits: HTTP/2 lets only
        so many bytes be on their way.
        """
        attempts, data = self._attempts(request), await _bytes_of(request)
        async with attempts.whole():
            while True:
                async with attempts.next() as link:
                    rpc = link.stream(path)(
                        data, timeout=attempts.timeout_s, metadata=attempts.metadata
                    )
                    try:
                        async for message in rpc:
                            if not attempts.has_answered:
                                await attempts.begins(rpc)
                            yield message
                    except LOST as error:
                        attempts.failed(link, error)
                        continue
                    finally:
                        rpc.cancel()
                    await attempts.ended(rpc)
                    return

    def _attempts(self, request: Message) -> Attempts:
        call = current_call()
        model = self._engine.registry.find(getattr(request, "model"))  # noqa: B009  of any request
        call.model = model.name
        return Attempts(self._engine, call, model, about_tokens(request, model.family), self._token)


def about_tokens(request: Message, family: str) -> int:
    """A guess at the tokens of a request, good enough to choose by until its replica reports.

    A letter is a byte and a token; a generation draws as many as it may for each sample.
    """
    read = request.ByteSize()
    options = getattr(request, "options", None)
    if options is None or "num_samples" not in options.DESCRIPTOR.fields_by_name:
        return read
    name = "num_tokens" if "num_tokens" in options.DESCRIPTOR.fields_by_name else "max_new_residues"
    new: int = getattr(options, name) or DEFAULTS[family].num_new_tokens
    num_samples: int = max(1, options.num_samples)
    items: Sized = getattr(request, "items", ())
    return read + new * num_samples * len(items)


async def _bytes_of(request: Message) -> bytes:
    if request.ByteSize() > LARGE_REQUEST_BYTES:
        return await asyncio.to_thread(request.SerializeToString)
    return request.SerializeToString()


def _own(method: MethodDescriptor, respond: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        respond,
        GetMessageClass(method.input_type).FromString,
        GetMessageClass(method.output_type).SerializeToString,
    )


def _add(server: grpc.aio.Server, service: ServiceDescriptor, handlers: Handlers) -> None:
    generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
