"""The options of `primase serve` that are about a Ray cluster, gathered into one setting."""

import importlib.util
from pathlib import Path

import click

from primase_server.options.group import group
from primase_server.options.parameters import COUNT, NEED, PEM, REPLICAS, SECONDS, SOME_SECONDS
from primase_server.settings import Cluster, Need, ReplicaRange, Tls

OPTIONS = (
    click.option(
        "--ray-address",
        default=Cluster.address,
        show_default=True,
        help="With --engine ray: HOST:PORT of the cluster's head; auto is the cluster that this "
        "machine is part of.",
    ),
    click.option(
        "--replicas",
        multiple=True,
        type=REPLICAS,
        help="How many replicas of a model, NAME=MIN or NAME=MIN:MAX; 0 lets it sleep until a call "
        "comes. Repeatable.  [default: 1 of each]",
    ),
    click.option(
        "--replica-cpus",
        multiple=True,
        type=NEED,
        help="CPUs of one replica, of all models or NAME=CPUS. Repeatable.  [default: 1]",
    ),
    click.option(
        "--replica-gpus",
        multiple=True,
        type=NEED,
        help="GPUs of one replica, all on one machine. Repeatable.  [default: 0]",
    ),
    click.option(
        "--replica-memory-gib",
        multiple=True,
        type=NEED,
        help="GiB of a machine's memory that one replica is counted with. Repeatable.  "
        "[default: not counted]",
    ),
    click.option(
        "--cluster-tls-cert",
        type=PEM,
        help="Encrypt calls to replicas with this certificate, for the name primase-cluster; the "
        "file is read on every machine.",
    ),
    click.option("--cluster-tls-key", type=PEM, help="Key of --cluster-tls-cert."),
    click.option(
        "--cluster-tls-ca",
        type=PEM,
        help="The authorities that front end and replicas trust, and nobody else's certificates.",
    ),
    click.option(
        "--scale-wait-s",
        default=Cluster.scale_wait_s,
        show_default=True,
        type=SOME_SECONDS,
        help="Seconds of work that may wait on a replica before there is another.",
    ),
    click.option(
        "--scale-tokens",
        type=COUNT,
        help="The same as a number of tokens.  [default: by --scale-wait-s and the measured speed]",
    ),
    click.option(
        "--scale-up-s",
        default=Cluster.scale_up_s,
        show_default=True,
        type=SECONDS,
        help="Least time between two steps up.",
    ),
    click.option(
        "--scale-down-s",
        default=Cluster.scale_down_s,
        show_default=True,
        type=SECONDS,
        help="So long fewer replicas must have been enough.",
    ),
    click.option(
        "--scale-idle-s",
        default=Cluster.scale_idle_s,
        show_default=True,
        type=SECONDS,
        help="A model with a least of 0 replicas sleeps after so long without a call.",
    ),
)


def gather(
    ray_address: str,
    replicas: tuple[ReplicaRange, ...],
    replica_cpus: tuple[Need, ...],
    replica_gpus: tuple[Need, ...],
    replica_memory_gib: tuple[Need, ...],
    cluster_tls_cert: Path | None,
    cluster_tls_key: Path | None,
    cluster_tls_ca: Path | None,
    scale_wait_s: float,
    scale_tokens: int | None,
    scale_up_s: float,
    scale_down_s: float,
    scale_idle_s: float,
) -> Cluster:
    """The setting. Raises UsageError where options do not fit together."""
    return Cluster(
        address=ray_address,
        replicas=replicas,
        cpus=replica_cpus,
        gpus=replica_gpus,
        memory_gib=replica_memory_gib,
        tls=_tls(cluster_tls_cert, cluster_tls_key, cluster_tls_ca),
        scale_wait_s=scale_wait_s,
        scale_tokens=scale_tokens,
        scale_up_s=scale_up_s,
        scale_down_s=scale_down_s,
        scale_idle_s=scale_idle_s,
    )


cluster_options = group("cluster", OPTIONS, gather)
"""Adds them; the command gets them as `cluster`."""


def require_cluster(cluster: Cluster, models: set[str]) -> None:
    """Raise UsageError for models that are not served, and ClickException without Ray."""
    needs = (*cluster.cpus, *cluster.gpus, *cluster.memory_gib)
    named = {each.model for each in cluster.replicas} | {each.model for each in needs}
    if unknown := sorted(named - models - {""}):
        raise click.UsageError(f"no --model is named {', '.join(unknown)}")
    if importlib.util.find_spec("ray") is None:
        raise click.ClickException(
            "--engine ray wants Ray: install the extra, as in pip install 'primase-server[ray]'"
        )


def _tls(cert: Path | None, key: Path | None, authorities: Path | None) -> Tls | None:
    if cert is not None and key is not None and authorities is not None:
        return Tls(cert.absolute(), key.absolute(), authorities.absolute())
    if cert or key or authorities:
        raise click.UsageError("--cluster-tls-cert, -key and -ca go together")
    return None
