"""The answers of grpc.health.v1, from memory; unlike the library's, services may come and go."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from primase_server.rpc.call import Context

_Status = pb.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Used on one event loop. A service that was not told of is NOT_FOUND, or SERVICE_UNKNOWN to
    those who watch it."""

    def __init__(self) -> None:
        self._is_serving: Mapping[str, bool] = {}
        self._is_withdrawn = False
        self._changed = asyncio.Event()

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> _Status:
        """The status now."""
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return _Status(status=status)

    async def Watch(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> AsyncIterator[_Status]:
        """The status now, and each other one that follows; nothing does once it is withdrawn."""
        last = None
        while True:
            changed, is_last = self._changed, self._is_withdrawn
            if (status := self._status(request.service)) != last:
                yield _Status(status=status)
            if is_last:
                return  # so that nobody who watches keeps the server from its end
            last = status
            await changed.wait()

    def tell(self, is_serving: Mapping[str, bool]) -> None:
        """These services are there and no others, each serving or not."""
        self._is_serving = is_serving
        self._tell_watchers()

    def withdraw(self) -> None:
        """Nothing serves from now on, whatever is told."""
        self._is_withdrawn = True
        self._tell_watchers()

    def _status(self, service: str) -> int:
        if service not in self._is_serving:
            return _Status.SERVICE_UNKNOWN
        is_serving = self._is_serving[service] and not self._is_withdrawn
        return _Status.SERVING if is_serving else _Status.NOT_SERVING

    def _tell_watchers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
