"""The commands that the server adds to `primase`.

Every flag has a twin in the environment, such as `PRIMASE_SERVE_REST_PORT` for `--rest-port`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from primase_server.keys_command import KEYS_FILE_HELP
from primase_server.logs import FORMATS, configure_logs
from primase_server.options.cluster import cluster_options, require_cluster
from primase_server.options.limits import limit_options
from primase_server.options.parameters import (
    COUNT,
    LISTEN,
    MODEL,
    PEM,
    SECONDS,
    device_option,
    dtype_option,
)
from primase_server.options.screening import screening_options
from primase_server.pulling import bring, weights_dir_option
from primase_server.settings import (
    AUTO,
    CPU,
    CPU_BATCH_TOKENS,
    CPU_LINEAR,
    DEMO_MODELS,
    ENGINES,
    FLOAT32,
    GPU_BATCH_TOKENS,
    HUB,
    LOCAL,
    RAY,
    Access,
    Cluster,
    Limits,
    Listen,
    ModelSettings,
    Screening,
    Settings,
    Telemetry,
    Tls,
)


@dataclass(frozen=True)
class SettingsTaker:
    """In the context of `serve`: takes the settings, and nothing is served."""

    take: Callable[[Settings], None]


@click.command()
@click.option("--demo", is_flag=True, help="Serve the demo models under every documented name.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=MODEL,
    help="A model to serve: NAME=PATH, NAME=hub, NAME=random, NAME=random:SEED or NAME=fixture. "
    "Repeatable.",
)
@weights_dir_option
@click.option("--pull", is_flag=True, help="First pull those of NAME=hub that are not there.")
@click.option(
    "--grpc-host", default="127.0.0.1", show_default=True, help="Address that gRPC listens on."
)
@click.option(
    "--grpc-port",
    default=50051,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of gRPC; 0 lets the system pick one and logs it.",
)
@click.option("--rest/--no-rest", default=True, show_default=True, help="Also serve JSON.")
@click.option(
    "--rest-host", default="127.0.0.1", show_default=True, help="Address that REST listens on."
)
@click.option(
    "--rest-port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of REST; 0 lets the system pick one and logs it.",
)
@click.option(
    "--rest-token", default="", help="Ask REST callers for this token. Not with --keys-file."
)
@click.option(
    "--keys-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="PRIMASE_KEYS_FILE",
    show_envvar=True,
    help="Answer only callers whose key is in this file, on gRPC and REST. " + KEYS_FILE_HELP,
)
@click.option(
    "--tls-cert",
    type=PEM,
    help="Encrypt gRPC and REST with this certificate; read again when it changes.",
)
@click.option("--tls-key", type=PEM, help="Key of --tls-cert.")
@click.option(
    "--tls-client-ca",
    type=PEM,
    help="Let in only clients with a certificate of these authorities.",
)
@screening_options
@click.option(
    "--engine",
    default=LOCAL,
    show_default=True,
    type=click.Choice(ENGINES),
    help="Where models run: local is this process, ray are replicas on the machines of a Ray "
    "cluster. Wants the extra `ray`.",
)
@cluster_options
@device_option
@dtype_option
@click.option(
    "--allow-unverified-precision",
    is_flag=True,
    help="Answer from models whose numbers are not known to be right here; each answer says so.",
)
@click.option(
    "--cpu-linear",
    default=Settings.cpu_linear,
    show_default=True,
    type=click.Choice(CPU_LINEAR),
    help="How a CPU multiplies in float32; int8 is faster and rounds. See docs/parity.md.",
)
@click.option(
    "--threads",
    type=COUNT,
    help="CPU threads of the model; with --engine ray each replica has as many as its CPUs.  "
    "[default: cores less one]",
)
@click.option(
    "--max-batch-tokens",
    type=COUNT,
    help=f"Tokens of one step.  [default: {CPU_BATCH_TOKENS}, on a GPU {GPU_BATCH_TOKENS}]",
)
@limit_options
@click.option(
    "--withdraw-s",
    default=Settings.withdraw_s,
    show_default=True,
    type=SECONDS,
    help="Seconds of NOT_SERVING before the ports close.",
)
@click.option(
    "--grace-s",
    default=Settings.grace_s,
    show_default=True,
    type=SECONDS,
    help="Seconds for work in flight to finish.",
)
@click.option(
    "--metrics-listen",
    type=LISTEN,
    help="Where a Prometheus server reads /metrics, such as 127.0.0.1:9464.  [default: nowhere]",
)
@click.option(
    "--otlp-endpoint",
    default="",
    help="Where traces of REST and gRPC are sent by OTLP, http://HOST:PORT. Wants the extra "
    "`telemetry`.  [default: nowhere]",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Least severe log lines to write.",
)
@click.option(
    "--log-format",
    default=AUTO,
    show_default=True,
    type=click.Choice(FORMATS),
    help="Of log lines; auto is text on a terminal and json elsewhere. The gateway's are json.",
)
def serve(
    *,
    demo: bool,
    models: tuple[ModelSettings, ...],
    weights_dir: Path,
    pull: bool,
    grpc_host: str,
    grpc_port: int,
    rest: bool,
    rest_host: str,
    rest_port: int,
    rest_token: str,
    keys_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    screening: Screening,
    engine: str,
    cluster: Cluster,
    device: str,
    dtype: str,
    allow_unverified_precision: bool,
    cpu_linear: str,
    threads: int | None,
    max_batch_tokens: int | None,
    limits: Limits,
    withdraw_s: float,
    grace_s: float,
    metrics_listen: Listen | None,
    otlp_endpoint: str,
    log_level: str,
    log_format: str,
) -> None:
    """Serve models over gRPC and REST until told to stop.

    SIGTERM or Ctrl-C finishes what is in flight; a second one stops at once.
    """
    if demo == bool(models):
        raise click.UsageError("give either --demo or at least one --model NAME=SOURCE")
    if rest_token and keys_file:
        raise click.UsageError("--rest-token is for servers without --keys-file: one or the other")
    if cpu_linear == "int8" and (device != CPU or dtype not in (AUTO, FLOAT32)):
        raise click.UsageError("--cpu-linear int8 needs --device cpu and --dtype float32")
    batch_tokens = CPU_BATCH_TOKENS if device == CPU else GPU_BATCH_TOKENS
    settings = Settings(
        models=DEMO_MODELS if demo else models,
        grpc=Listen(grpc_host, grpc_port),
        rest=Listen(rest_host, rest_port) if rest else None,
        rest_token=rest_token,
        access=Access(keys_file),
        tls=_tls(tls_cert, tls_key, tls_client_ca),
        screening=screening,
        engine=engine,
        cluster=cluster,
        device=device,
        dtype=dtype,
        cpu_linear=cpu_linear,
        allow_unverified_precision=allow_unverified_precision,
        weights_dir=weights_dir,
        num_threads=threads or Settings().num_threads,
        limits=replace(limits, max_batch_tokens=max_batch_tokens or batch_tokens),
        telemetry=Telemetry(metrics_listen, otlp_endpoint),
        withdraw_s=withdraw_s,
        grace_s=grace_s,
        log_level=log_level,
        log_format=log_format,
    )
    if engine == RAY:
        require_cluster(cluster, {model.name for model in settings.models})
    if pull:
        _pull(settings)
    taker = click.get_current_context().find_object(SettingsTaker)
    (taker.take if taker else _serve)(settings)


def _tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    if cert is not None and key is not None:
        return Tls(cert.absolute(), key.absolute(), client_ca.absolute() if client_ca else None)
    if cert or key or client_ca:
        raise click.UsageError("--tls-cert and --tls-key go together, also with --tls-client-ca")
    return None


def _pull(settings: Settings) -> None:
    for model in settings.models:
        if model.source == HUB:
            bring(model.name, settings.weights_dir)


def _serve(settings: Settings) -> None:
    # torch takes seconds to import, and `primase --help` should not.
    from primase_server.app import serve as run

    configure_logs(settings.log_level, settings.log_format)
    try:
        asyncio.run(run(settings))
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
