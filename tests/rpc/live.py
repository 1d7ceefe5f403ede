"""The whole service in a thread, and what its errors say."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from primase.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from primase.progen2.v1.progen2_service_pb2_grpc import ProGen2ServiceStub
from primase_server.app import App
from primase_server.rpc.concerns import CallObserver
from primase_server.settings import Listen, Settings

SETTINGS = Settings(
    grpc=Listen("127.0.0.1", 0), rest=None, num_threads=1, withdraw_s=0.0, grace_s=5.0
)
WAIT_S = 30.0

Result = TypeVar("Result")
Detail = TypeVar("Detail", bound=Message)


class Live:
    """A running service, and a channel to it with the limits that every client has by default."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop, channel: grpc.Channel) -> None:
        self.app = app
        self.channel = channel
        self.esm2 = Esm2ServiceStub(channel)
        self.evo2 = Evo2ServiceStub(channel)
        self.progen2 = ProGen2ServiceStub(channel)
        self.models = ModelServiceStub(channel)
        self.admin = AdminServiceStub(channel)
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What `work` gives on the service's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


@contextmanager
def serving(
    settings: Settings = SETTINGS, observer: CallObserver | None = None, *, loaded: bool = True
) -> Iterator[Live]:
    """The service with `settings`; its models may still be loading unless `loaded`."""

    async def started() -> App:
        app = App(settings, observer)
        await app.start()
        if loaded:
            await app.ready()
        return app

    with event_loop() as loop:
        app = asyncio.run_coroutine_threadsafe(started(), loop).result(WAIT_S)
        with grpc.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
            live = Live(app, loop, channel)
            try:
                yield live
            finally:
                live.run(app.stop())


def limited(**limits: int) -> Settings:
    """The settings with some limits changed."""
    return replace(SETTINGS, limits=replace(SETTINGS.limits, **limits))


@dataclass(frozen=True)
class Refusal:
    """An error of ours, unpacked: `fields` are paths with their reasons."""

    code: grpc.StatusCode
    reason: str
    message: str
    fields: dict[str, str]
    status: status_pb2.Status

    @classmethod
    def of(cls, status: status_pb2.Status) -> "Refusal":
        """From a status with an ErrorInfo of ours."""
        info = detail(status, error_details_pb2.ErrorInfo)
        assert info is not None, status
        assert info.domain == "primase"
        request = detail(status, error_details_pb2.BadRequest)
        violations = request.field_violations if request is not None else []
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        fields = {violation.field: violation.reason for violation in violations}
        return cls(code, info.reason, status.message, fields, status)


def detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    """The detail of that kind, where there is one."""
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


def refusal(call: Callable[[], object]) -> Refusal:
    """How `call` is refused; a list is made of what it gives, so that streams are read."""
    with pytest.raises(grpc.RpcError) as refused:
        _exhaust(call())
    status = rpc_status.from_call(cast(grpc.Call, refused.value))
    assert status is not None, refused.value
    return Refusal.of(status)


def _exhaust(answer: object) -> None:
    if isinstance(answer, Iterator):
        list(answer)
