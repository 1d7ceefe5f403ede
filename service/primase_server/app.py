"""One server, wired: models, gRPC edge and gateway; how it starts, drains and stops."""

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from primase_gateway.tracing import provider
from primase_server import exposure
from primase_server.access.gate import Gate
from primase_server.access.keys import Keys
from primase_server.back_door import BackDoor
from primase_server.engine.observer import EngineObserver
from primase_server.gateway_process import GatewayProcess
from primase_server.hosting import LocalHost
from primase_server.metrics.cluster import ClusterMetrics
from primase_server.metrics.listener import MetricsListener
from primase_server.metrics.metrics import Metrics
from primase_server.rpc.concerns import CallObserver, CallObservers
from primase_server.rpc.server import build_server, finish, listen
from primase_server.screening.screening import ScreeningObserver
from primase_server.settings import RAY, Listen, Settings
from primase_server.tracing import CallTracing

if TYPE_CHECKING:
    from primase_server.cluster.host import ClusterHost

log = structlog.get_logger()

FORCED_EXIT_STATUS = 130


class App:
    """The whole service in one process, and its gateway in another."""

    def __init__(self, settings: Settings, observer: CallObserver | None = None) -> None:
        self.settings = settings
        watching: list[EngineObserver] = []
        observers: list[CallObserver] = [] if observer is None else [observer]
        self._metrics: MetricsListener | None = None
        screened: ScreeningObserver | None = None
        replicas: ClusterMetrics | None = None
        if settings.telemetry.metrics is not None:
            metrics = Metrics()
            self._metrics = MetricsListener(metrics.text)
            watching.append(metrics.work)
            observers.append(metrics.calls)
            screened = metrics.screening
            replicas = metrics.replicas() if settings.engine == RAY else None
        self._tracing: CallTracing | None = None
        if settings.telemetry.otlp_endpoint:
            self._tracing = CallTracing(provider("primase", settings.telemetry.otlp_endpoint))
            observers.append(self._tracing)
        self.host = host_of(settings, watching, screened, replicas)
        if settings.telemetry.metrics is not None:
            metrics.watch(self.host.registry, self.host.engine)
        keys_file = settings.access.keys_file
        gate = Gate(Keys(keys_file) if keys_file is not None else None)
        observed = CallObservers(observers)
        self._server = build_server(self.host, settings.limits, observed, gate, self.host)
        self._back_door: BackDoor | None = None
        self._gateway: GatewayProcess | None = None
        self.grpc_port = 0
        self.metrics_port: int | None = None
        self.rest_port: int | None = None

    async def start(self) -> None:
        """Listen, then load the models; calls are answered MODEL_NOT_READY until theirs is there.

        Raises OSError where an address is taken.
        """
        self.grpc_port = listen(self._server, self.settings.grpc, self.settings.tls)
        if self.settings.tls is not None and self.settings.rest is not None:
            self._back_door = BackDoor()
            self._server.add_insecure_port(self._back_door.target)
        await self._server.start()
        if self._metrics is not None and self.settings.telemetry.metrics is not None:
            self.metrics_port = await self._metrics.start(self.settings.telemetry.metrics)
        if self.settings.rest is not None:
            await self._start_gateway(self.settings.rest)
        await self.host.start()
        log.info(
            "listening",
            grpc_port=self.grpc_port,
            rest_port=self.rest_port,
            metrics_port=self.metrics_port,
        )
        if (lacks := exposure.lacks(self.settings)) is not None:
            log.warning("open_to_other_machines", lacks=lacks)

    async def ready(self) -> None:
        """Wait until every model is loaded or has failed."""
        await self.host.ready()

    async def stop(self) -> None:
        """Withdraw, let clients notice, finish what is in flight, stop: nothing is lost."""
        log.info("withdrawing", withdraw_s=self.settings.withdraw_s)
        await self.host.health.withdraw()
        self.host.end_changes()
        await asyncio.sleep(self.settings.withdraw_s)
        if self._gateway is not None:
            await self._gateway.stop(self.settings.grace_s)
        await finish(self._server, self.host, self.settings.grace_s)
        if self._back_door is not None:
            self._back_door.close()
        await self.host.stop()
        if self._metrics is not None:
            await self._metrics.stop()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        log.info("stopped")

    def kill(self) -> None:
        """Stop at once, whatever is in flight."""
        if self._gateway is not None:
            self._gateway.kill()
        if self._back_door is not None:
            self._back_door.close()
        os._exit(FORCED_EXIT_STATUS)

    async def _start_gateway(self, address: Listen) -> None:
        target = f"{_reachable(self.settings.grpc.host)}:{self.grpc_port}"
        if self._back_door is not None:
            target = self._back_door.target
        settings = self.settings
        self._gateway = GatewayProcess(
            address,
            target,
            settings.rest_token,
            settings.tls,
            otlp_endpoint=settings.telemetry.otlp_endpoint,
        )
        self.rest_port = self._gateway.port
        await self._gateway.start()


def host_of(
    settings: Settings,
    watching: Sequence[EngineObserver],
    screened: ScreeningObserver | None,
    replicas: ClusterMetrics | None,
) -> "LocalHost | ClusterHost":
    """Where the models run. Raises ImportError where that wants Ray, which is not installed."""
    if settings.engine == RAY:
        # Ray is an extra, and takes a second to import.
        from primase_server.cluster.host import ClusterHost

        host = ClusterHost(settings, replicas)
        if replicas is not None:
            replicas.watch(host.controller)
        return host
    return LocalHost(settings, watching, screened)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then stop in order; a second signal stops at once."""
    app = App(settings)
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            app.kill()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await app.start()
    await stopping.wait()
    await app.stop()


def _reachable(host: str) -> str:
    # An address that means every interface can be listened on, not called.
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
