"""Services of the contract without a model behind them: every call says NOT_SERVED."""

from collections.abc import AsyncGenerator
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from primase_server.errors import NotServed
from primase_server.rpc.call import Context


def add_not_served(service: ServiceDescriptor, server: grpc.aio.Server) -> None:
    """Answer every method of `service` with NOT_SERVED."""
    handlers = {method.name: _handler(method) for method in service.methods}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service.full_name, handlers),)
    )


def _handler(method: MethodDescriptor) -> Any:
    async def refuse(request: Message, context: Context) -> NoReturn:
        raise NotServed(f"no model answers {method.full_name} here")

    async def refuse_stream(request: Message, context: Context) -> AsyncGenerator[Message]:
        yield await refuse(request, context)

    parse = GetMessageClass(method.input_type).FromString
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse_stream, parse, _serialize)
    return grpc.unary_unary_rpc_method_handler(refuse, parse, _serialize)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
