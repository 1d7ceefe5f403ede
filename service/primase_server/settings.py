"""Everything an operator can set, as one frozen tree; `commands.py` fills it."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from primase_server.models.families import FAMILIES
from primase_server.models.hub.weights_dir import default_root

MIB = 1 << 20
MOST_PORT = 65535

CPU = "cpu"
FLOAT32 = "float32"

DATA_TYPES = (FLOAT32, "float16", "bfloat16")

AUTO = "auto"
"""Each family in the type of numbers that suits it and the device."""

CPU_LINEAR = ("auto", "prepacked", "half", "int8", "plain")
"""Names of the kernels of a CPU's linear products; `auto` is the fastest in float32."""

HUB = "hub"  # the source of a model that `primase models pull` brought


@dataclass(frozen=True)
class Listen:
    """An address to listen on; port 0 lets the system pick one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """`HOST:PORT`, an IPv6 host in brackets. Raises ValueError."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or int(port) > MOST_PORT:
            raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9464")
        return cls(host, int(port))


@dataclass(frozen=True)
class ModelSettings:
    """One model to serve.

    `source` is a path, `hub`, `random`, `random:SEED`, `fixture` or `demo`.
    """

    name: str
    source: str
    aliases: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ModelSettings":
        """`NAME=SOURCE` as the command line gives it. Raises ValueError."""
        name, separator, source = text.partition("=")
        if not (name and separator and source):
            raise ValueError(f"{text!r} is not NAME=SOURCE, such as esm2-650m=random")
        return cls(name.lower(), source)


# One small model of each family answers for every documented name, and every answer says that it
# does.
DEMO_MODELS = tuple(
    ModelSettings(f"{family.name}-demo", "demo", family.official_names) for family in FAMILIES
)


CPU_BATCH_TOKENS = 4096
GPU_BATCH_TOKENS = 16384
"""Tokens of one step: enough to keep the device busy, in a step that is soon over."""


@dataclass(frozen=True)
class Limits:
    """What is refused rather than queued, and how much runs at once."""

    max_residues: int = 2048
    max_bases: int = 1 << 20
    max_request_bytes: int = 64 * MIB
    max_unary_response_bytes: int = 4 * MIB - 64 * 1024
    max_queued_tokens: int = 1 << 28
    max_queued_bytes: int = 2048 * MIB
    max_batch_tokens: int = CPU_BATCH_TOKENS
    max_batch_bytes: int = 4096 * MIB
    # half of what the device has free; generation has a half of it, other work the other
    max_state_bytes: int | None = None
    max_pending_result_bytes: int = 16 * MIB
    max_step_s: float = 1.0
    heartbeat_s: float = 15.0


@dataclass(frozen=True)
class Tls:
    """Encryption of gRPC and REST. PEM files, read again when they change.

    client_ca: authorities that must vouch for clients; None lets in clients without a certificate.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class Access:
    """Who may call: those whose key is in the file; anybody where there is none."""

    keys_file: Path | None = None


@dataclass(frozen=True)
class Telemetry:
    """What the server tells of itself.

    metrics: where a Prometheus server reads them. otlp_endpoint: where traces are sent,
    http://HOST:PORT; empty is nowhere.
    """

    metrics: Listen | None = None
    otlp_endpoint: str = ""


@dataclass(frozen=True)
class Settings:
    """The whole configuration of one server."""

    models: tuple[ModelSettings, ...] = DEMO_MODELS
    grpc: Listen = Listen("127.0.0.1", 50051)
    rest: Listen | None = Listen("127.0.0.1", 8000)
    rest_token: str = field(default="", repr=False)
    access: Access = Access()
    tls: Tls | None = None
    device: str = CPU
    dtype: str = AUTO
    cpu_linear: str = "auto"
    allow_unverified_precision: bool = False
    weights_dir: Path = field(default_factory=default_root)
    num_threads: int = field(default_factory=lambda: max(1, (os.cpu_count() or 2) - 1))
    limits: Limits = Limits()
    telemetry: Telemetry = Telemetry()
    withdraw_s: float = 2.0
    grace_s: float = 60.0
    log_level: str = "info"
    log_format: str = AUTO
