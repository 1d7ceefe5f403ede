"""One server, wired: registry, engine, gRPC edge and gateway; how it starts, drains and stops."""

import asyncio
import os
import signal

import structlog

from primase_gateway.tracing import provider
from primase_server import exposure
from primase_server.access.gate import Gate
from primase_server.access.keys import Keys
from primase_server.back_door import BackDoor
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.limits import EngineLimits
from primase_server.engine.local import LocalEngine
from primase_server.engine.observer import EngineObserver, Observers
from primase_server.gateway_process import GatewayProcess
from primase_server.loading.loaded import Loaded
from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.metrics.listener import MetricsListener
from primase_server.metrics.metrics import Metrics
from primase_server.models.registry import Registry, ServedModel
from primase_server.models.room import Room
from primase_server.recovery import Recovery
from primase_server.rpc.concerns import CallObserver, CallObservers
from primase_server.rpc.health import Health
from primase_server.rpc.server import build_server, listen
from primase_server.settings import Limits, Listen, Settings
from primase_server.tracing import CallTracing

log = structlog.get_logger()

FORCED_EXIT_STATUS = 130
LAST_WORDS_S = 5.0


class App:
    """The whole service in one process, and its gateway in another."""

    def __init__(self, settings: Settings, observer: CallObserver | None = None) -> None:
        self.settings = settings
        self.registry = Registry(
            tuple(configured(model, settings.weights_dir) for model in settings.models)
        )
        self.health = Health(self.registry)
        self._recovery = Recovery(self.registry, self.health, self._serve_again)
        watching: list[EngineObserver] = [self._recovery]
        observers: list[CallObserver] = [] if observer is None else [observer]
        self._metrics: MetricsListener | None = None
        if settings.telemetry.metrics is not None:
            metrics = Metrics()
            self._metrics = MetricsListener(metrics.text)
            watching.append(metrics.work)
            observers.append(metrics.calls)
        self._tracing: CallTracing | None = None
        if settings.telemetry.otlp_endpoint:
            self._tracing = CallTracing(provider("primase", settings.telemetry.otlp_endpoint))
            observers.append(self._tracing)
        self.engine = LocalEngine(Observers(watching))
        if settings.telemetry.metrics is not None:
            metrics.watch(self.registry, self.engine)
        keys_file = settings.access.keys_file
        gate = Gate(Keys(keys_file) if keys_file is not None else None)
        self._server = build_server(
            self.engine, self.registry, self.health, settings.limits, CallObservers(observers), gate
        )
        self._back_door: BackDoor | None = None
        self._gateway: GatewayProcess | None = None
        self._loading: asyncio.Task[None] | None = None
        self._loaded: dict[str, Loaded] = {}
        self.grpc_port = 0
        self.metrics_port: int | None = None
        self.rest_port: int | None = None

    async def start(self) -> None:
        """Listen, then load the models; calls are answered MODEL_NOT_READY until theirs is there.

        Raises OSError where an address is taken.
        """
        await self.health.update()
        self.grpc_port = listen(self._server, self.settings.grpc, self.settings.tls)
        if self.settings.tls is not None and self.settings.rest is not None:
            self._back_door = BackDoor()
            self._server.add_insecure_port(self._back_door.target)
        await self._server.start()
        if self._metrics is not None and self.settings.telemetry.metrics is not None:
            self.metrics_port = await self._metrics.start(self.settings.telemetry.metrics)
        if self.settings.rest is not None:
            await self._start_gateway(self.settings.rest)
        self._loading = asyncio.create_task(self._load_models())
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
        if self._loading is not None:
            await self._loading

    async def stop(self) -> None:
        """Withdraw, let clients notice, finish what is in flight, stop: nothing is lost."""
        log.info("withdrawing", withdraw_s=self.settings.withdraw_s)
        await self.health.withdraw()
        await asyncio.sleep(self.settings.withdraw_s)
        if self._gateway is not None:
            await self._gateway.stop(self.settings.grace_s)
        await self._finish_calls()
        if self._back_door is not None:
            self._back_door.close()
        self._recovery.stop()
        if self._loading is not None:
            self._loading.cancel()
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

    async def _finish_calls(self) -> None:
        # What is left after the grace period ends with a status of ours, for which it needs time.
        grace_s = self.settings.grace_s
        stopping = asyncio.create_task(self._server.stop(grace_s + LAST_WORDS_S))
        await asyncio.wait({stopping}, timeout=grace_s)
        await self.engine.close()
        await stopping

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

    async def _load_models(self) -> None:
        for served in self.registry:
            await self._load_model(served)
        log.info("models_loaded", states={m.name: m.state.value for m in self.registry})

    async def _load_model(self, served: ServedModel) -> None:
        source = next(m.source for m in self.settings.models if m.name == served.name)
        try:
            loaded = await asyncio.to_thread(load, served, source, self.settings)
        except Exception:
            # The reason may name files, which is for the operator's eyes.
            log.exception("model_failed", model=served.name)
            served.set_failed("its weights could not be loaded; the server's log says why")
        else:
            self._serve(served, loaded)
        await self.health.update()

    def _serve(self, served: ServedModel, loaded: Loaded) -> None:
        if loaded.doubt and not self.settings.allow_unverified_precision:
            log.warning("model_unverified", model=served.name, why=loaded.doubt)
            served.set_unverified(loaded.runner, loaded.doubt)
            return
        limits = engine_limits(self.settings.limits, loaded.room)
        generation = None
        if loaded.generator is not None:
            generation = GenerationScheduler(loaded.generator, limits)
        self.engine.add_model(served.name, loaded.runner, limits, self.settings.device, generation)
        served.set_ready(loaded.runner, loaded.doubt, loaded.room)
        self._loaded[served.name] = loaded

    def _serve_again(self, name: str) -> None:
        self._serve(self.registry.find(name), self._loaded[name])


def engine_limits(limits: Limits, room: Room | None = None) -> EngineLimits:
    """The engine's share of the limits, within the room there is on a model's device."""
    return EngineLimits(
        max_queued_tokens=limits.max_queued_tokens,
        max_queued_bytes=limits.max_queued_bytes,
        max_batch_tokens=limits.max_batch_tokens,
        max_batch_bytes=room.batch_bytes if room else limits.max_batch_bytes,
        max_pending_result_bytes=limits.max_pending_result_bytes,
        max_step_s=limits.max_step_s,
        max_state_bytes=room.state_bytes if room else EngineLimits.max_state_bytes,
    )


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
