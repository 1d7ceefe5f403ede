"""The REST gateway as a child process: started, watched, started again when it dies, stopped."""

import asyncio
import os
import signal
import socket
import sys

import structlog

from primase_server.settings import Listen, Tls

log = structlog.get_logger()

RESTART_DELAY_S = 1.0


class GatewayProcess:
    """Runs `python -m primase_gateway` on a socket that outlives it: a restart refuses nobody."""

    def __init__(
        self,
        address: Listen,
        grpc_target: str,
        token: str = "",
        tls: Tls | None = None,
        *,
        otlp_endpoint: str = "",
    ) -> None:
        self._socket = _listening_socket(address)
        self._grpc_target = grpc_target
        self._token = token
        self._tls = tls
        self._otlp_endpoint = otlp_endpoint
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Start it and watch over it."""
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self, grace_s: float) -> None:
        """Let it finish what it has, then end it."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._socket.close()
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _spawn(self) -> None:
        environment = {
            **os.environ,
            "PRIMASE_GATEWAY_TOKEN": self._token,
            "PRIMASE_GATEWAY_OTLP_ENDPOINT": self._otlp_endpoint,
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "primase_gateway"),
            *("--server", self._grpc_target),
            *("--fd", str(self._socket.fileno())),
            "--supervised",
            *_tls_options(self._tls),
            env=environment,
            # Never written to: its end tells the gateway that this process is gone.
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(self._socket.fileno(),),
            # Ctrl-C in the terminal then reaches the parent alone, which ends its child in order.
            process_group=0,
        )

    async def _watch(self) -> None:
        while self._process is not None:
            code = await self._process.wait()
            log.error("gateway_died", exit_code=code)
            await asyncio.sleep(RESTART_DELAY_S)
            await self._spawn()


def _tls_options(tls: Tls | None) -> tuple[str, ...]:
    if tls is None:
        return ()
    authorities = ("--tls-client-ca", str(tls.client_ca)) if tls.client_ca else ()
    return ("--tls-cert", str(tls.cert), "--tls-key", str(tls.key), *authorities)


def _listening_socket(address: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {address.host}:{address.port}") from error
    listener.listen(1024)
    listener.set_inheritable(True)
    return listener
