"""Everything an operator can set, as one frozen tree; `commands.py` fills it."""

import math
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
    max_queue_s: float = 2.0
    heartbeat_s: float = 15.0
    # after which a client is asked to connect again
    connection_age_s: float | None = None


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
class Screening:
    """Who is asked about each generated sample before it is told: one of the two, or nobody.

    command: a program and its arguments. target: HOST:PORT or unix:PATH of a service as in
    `primase.screening.v1`, with TLS where `ca` names the authorities of its certificate; cert and
    key are our own (PEM). timeout_s: for a verdict, from the end of a sample. max_in_flight:
    questions asked at once. max_held_bytes: of samples that wait, over all calls.
    """

    command: tuple[str, ...] = ()
    target: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    timeout_s: float = 10.0
    max_in_flight: int = 8
    max_held_bytes: int = 1024 * MIB


@dataclass(frozen=True)
class Telemetry:
    """What the server tells of itself.

    metrics: where a Prometheus server reads them. otlp_endpoint: where traces are sent,
    http://HOST:PORT; empty is nowhere.
    """

    metrics: Listen | None = None
    otlp_endpoint: str = ""


LOCAL, RAY = "local", "ray"
ENGINES = (LOCAL, RAY)
"""Where models run: in the server's process, or as replicas on the machines of a Ray cluster."""


@dataclass(frozen=True)
class Need:
    """Of a resource, what one replica of a model has; of every model where `model` is empty."""

    amount: float
    model: str = ""

    @classmethod
    def parse(cls, text: str) -> "Need":
        """`AMOUNT` or `NAME=AMOUNT`. Raises ValueError."""
        model, _, amount = text.rpartition("=")
        try:
            need = cls(float(amount), model.lower())
        except ValueError:
            need = cls(-1.0)
        if not 0 <= need.amount < math.inf:
            raise ValueError(f"{text!r} is not AMOUNT or NAME=AMOUNT, such as evo2-7b=2")
        return need


@dataclass(frozen=True)
class ReplicaRange:
    """How many replicas one model has."""

    model: str
    floor: int = 1
    ceiling: int = 1

    @classmethod
    def parse(cls, text: str) -> "ReplicaRange":
        """`NAME=MIN` or `NAME=MIN:MAX`. Raises ValueError."""
        model, _, bounds = text.partition("=")
        floor, separator, ceiling = bounds.partition(":")
        ceiling = ceiling if separator else floor
        if model and floor.isdecimal() and ceiling.isdecimal():
            found = cls(model.lower(), int(floor), int(ceiling))
            if found.floor <= found.ceiling and found.ceiling >= 1:
                return found
        raise ValueError(f"{text!r} is not NAME=MIN or NAME=MIN:MAX, such as esm2-650m=1:4")


@dataclass(frozen=True)
class Cluster:
    """Replicas on the machines of a Ray cluster.

    address: HOST:PORT of its head; `auto` is the one that this machine is part of.
    tls: of the calls between front end and replicas; needs client_ca.
    The scale_* are told in docs/scaling.md.
    """

    address: str = AUTO
    replicas: tuple[ReplicaRange, ...] = ()
    cpus: tuple[Need, ...] = ()
    gpus: tuple[Need, ...] = ()
    memory_gib: tuple[Need, ...] = ()
    tls: Tls | None = None
    scale_wait_s: float = 10.0
    scale_tokens: int | None = None
    scale_up_s: float = 15.0
    scale_down_s: float = 120.0
    scale_idle_s: float = 600.0

    def range_of(self, model: str) -> ReplicaRange:
        """Of its replicas; one where nothing is said."""
        return next((r for r in reversed(self.replicas) if r.model == model), ReplicaRange(model))


def amount_of(needs: tuple[Need, ...], model: str, default: float) -> float:
    """What is said of that model, else of all, else the default."""
    for name in (model, ""):
        for need in reversed(needs):
            if need.model == name:
                return need.amount
    return default


@dataclass(frozen=True)
class Settings:
    """The whole configuration of one server."""

    models: tuple[ModelSettings, ...] = DEMO_MODELS
    grpc: Listen = Listen("127.0.0.1", 50051)
    rest: Listen | None = Listen("127.0.0.1", 8000)
    rest_token: str = field(default="", repr=False)
    access: Access = Access()
    screening: Screening = Screening()
    tls: Tls | None = None
    engine: str = LOCAL
    cluster: Cluster = Cluster()
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
