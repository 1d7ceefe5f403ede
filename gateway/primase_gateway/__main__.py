"""`python -m primase_gateway`: serve REST in front of one gRPC service."""

import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import click
import uvicorn

from primase_gateway import log, nim_variables
from primase_gateway.app import create_app
from primase_gateway.protocol import MAX_HEAD_BYTES, prompt_protocol
from primase_gateway.settings import Settings
from primase_gateway.tls import rest_context

logger = logging.getLogger("primase_gateway")
DEFAULTS = Settings()
STDIN = 0
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"auto_envvar_prefix": "PRIMASE_GATEWAY", "show_default": True})
@click.option(
    "--server", default=DEFAULTS.server, show_envvar=True, help="gRPC service, host:port."
)
@click.option(
    "--server-ca",
    show_envvar=True,
    type=FILE,
    help="Call the service with TLS, trusting these authorities (PEM).",
)
@click.option(
    "--server-cert", show_envvar=True, type=FILE, help="The gateway's own certificate there (PEM)."
)
@click.option("--server-key", show_envvar=True, type=FILE, help="Key of --server-cert (PEM).")
@click.option("--host", default=DEFAULTS.host, show_envvar=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEFAULTS.port,
    show_envvar=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 lets the system pick one and logs it.",
)
@click.option(
    "--fd",
    default=DEFAULTS.fd,
    show_envvar=True,
    type=click.IntRange(min=0),
    help="A listening socket inherited from the parent process, instead of host and port.",
)
@click.option(
    "--tls-cert",
    show_envvar=True,
    type=FILE,
    help="Encrypt REST with this certificate (PEM); read again when it changes.",
)
@click.option("--tls-key", show_envvar=True, type=FILE, help="Key of --tls-cert (PEM).")
@click.option(
    "--tls-client-ca",
    show_envvar=True,
    type=FILE,
    help="Let in only clients with a certificate of these authorities (PEM).",
)
@click.option(
    "--token",
    default=DEFAULTS.token,
    show_envvar=True,
    help="Token that requests must carry; empty accepts any. Better given in the environment.",
)
@click.option(
    "--deadline-s",
    default=DEFAULTS.deadline_s,
    show_envvar=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Time that one request may take in the service, in seconds.",
)
@click.option(
    "--max-body-bytes",
    default=DEFAULTS.max_body_bytes,
    show_envvar=True,
    type=click.IntRange(min=1),
    help="Largest request body, as sent and after decompression.",
)
@click.option(
    "--request-s",
    default=DEFAULTS.request_s,
    show_envvar=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Time for a client to send the head of a request, and again for its body, in seconds.",
)
@click.option(
    "--read-s",
    default=DEFAULTS.read_s,
    show_envvar=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Time for a client to read 1 MiB of an answer that waits, or all of it, in seconds.",
)
@click.option(
    "--max-connections",
    default=DEFAULTS.max_connections,
    show_envvar=True,
    type=click.IntRange(min=1),
    help="Connections open at once; beyond that requests are answered 503, but for health and "
    "metrics.",
)
@click.option(
    "--max-answer-bytes",
    default=DEFAULTS.max_answer_bytes,
    show_envvar=True,
    type=click.IntRange(min=1),
    help="Most bytes of float32 numbers in one answer.",
)
@click.option(
    "--max-held-bytes",
    default=DEFAULTS.max_held_bytes,
    show_envvar=True,
    type=click.IntRange(min=1),
    help="The same over all answers in progress.",
)
@click.option(
    "--drain-s",
    default=DEFAULTS.drain_s,
    show_envvar=True,
    type=click.FloatRange(min=0),
    help="Time for requests in progress when told to stop, in seconds.",
)
@click.option(
    "--nim-model",
    default=DEFAULTS.nim_model,
    show_envvar=True,
    help="The Evo 2 that answers the NIM routes: a name, an alias, or a size such as evo2-7b.",
)
@click.option(
    "--nim-max-bases",
    envvar=["PRIMASE_GATEWAY_NIM_MAX_BASES", "NIM_EVO2_SEQUENCE_LENGTH_LIMIT"],
    show_envvar=True,
    type=click.IntRange(min=1),
    help="Longest sequence of the NIM routes. Unset: what the service allows.",
)
@click.option(
    "--nim-max-forward-bases",
    envvar=["PRIMASE_GATEWAY_NIM_MAX_FORWARD_BASES", "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT"],
    show_envvar=True,
    type=click.IntRange(min=1),
    help="Longest sequence of NIM's forward, instead of that.",
)
@click.option(
    "--nim-timeout-s",
    envvar=["PRIMASE_GATEWAY_NIM_TIMEOUT_S", "NIM_EVO2_TIMEOUT_S"],
    show_envvar=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Time that one NIM request may take in the service. Unset: as all.",
)
@click.option(
    "--nim-busy-422",
    is_flag=True,
    show_envvar=True,
    help="Answer 422 where the queue is full, as NIM does, and not 503.",
)
@click.option(
    "--nim-deflate",
    is_flag=True,
    show_envvar=True,
    help="Compress the arrays of NIM's forward, which takes many times as long.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    envvar="PRIMASE_GATEWAY_CORS_ORIGINS",
    show_envvar=True,
    help="Origin whose pages may call from a browser; * is any. Repeatable.",
)
@click.option(
    "--otlp-endpoint",
    default=DEFAULTS.otlp_endpoint,
    show_envvar=True,
    help="Where traces are sent by OTLP, http://HOST:PORT. Wants the extra `telemetry`.",
)
@click.option(
    "--log-level",
    default=DEFAULTS.log_level,
    show_envvar=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Least severe log lines to write.",
)
@click.option(
    "--supervised",
    is_flag=True,
    help="Stop when standard input ends, as it does when the process that started this one dies.",
)
def main(**options: object) -> None:
    """Serve REST in front of a Primase service."""
    options["nim_model"] = options["nim_model"] or nim_variables.model(os.environ)
    _require_together(options, "tls_cert", "tls_key")
    _require_together(options, "server_cert", "server_key")
    if options["tls_client_ca"] and not options["tls_cert"]:
        raise click.UsageError("--tls-client-ca needs --tls-cert")
    if options["server_cert"] and not options["server_ca"]:
        raise click.UsageError("--server-cert needs --server-ca")
    settings = Settings(**options)  # type: ignore[arg-type]  # click has checked each by its option
    log.configure(settings.log_level)
    for name in nim_variables.ignored(os.environ):
        logger.warning("ignored_variable", extra={"fields": {"name": name}})
    listener = _listener(settings)
    try:
        server = uvicorn.Server(server_config(settings))
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if settings.supervised:
        threading.Thread(target=_stop_with_supervisor, args=(server,), daemon=True).start()
    host, port = listener.getsockname()[:2]
    fields = {"host": host, "port": port, "server": settings.server}
    logger.info("listening", extra={"fields": fields})
    # uvicorn drains on a signal and then raises it again: the end it asks for is a good one.
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: sys.exit(0))
    server.run(sockets=[listener])
    sys.exit(0 if server.started else 1)


def _require_together(options: Mapping[str, object], one: str, other: str) -> None:
    if bool(options[one]) != bool(options[other]):
        names = (f"--{name.replace('_', '-')}" for name in (one, other))
        raise click.UsageError(f"{' and '.join(names)} go together")


def _listener(settings: Settings) -> socket.socket:
    try:
        if settings.fd is not None:
            return socket.socket(fileno=settings.fd)
        return bind(settings.host, settings.port)
    except OSError as error:
        place = f"{settings.host}:{settings.port}" if settings.fd is None else f"fd {settings.fd}"
        raise click.ClickException(f"cannot listen on {place}: {error.strerror}") from None


def _stop_with_supervisor(server: uvicorn.Server) -> None:
    # Standard input ends when the supervisor, which holds its other end, is gone. It is read past
    # Python's buffer, whose lock this thread would still hold when the interpreter ends.
    while os.read(STDIN, 4096):
        pass
    server.should_exit = True


def server_config(settings: Settings) -> uvicorn.Config:
    """How uvicorn runs the application. Raises OSError for files of TLS that cannot be used."""
    config = uvicorn.Config(
        create_app(settings),
        # httptools drops the body of a request that offers to upgrade, as Java's HttpClient does.
        http=prompt_protocol(settings),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        # Longer than clients keep an idle connection, so that it is they who close it.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.drain_s),
    )
    config.load()
    config.ssl = rest_context(settings)
    return config


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError where the address is taken or not ours."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


if __name__ == "__main__":
    main()
