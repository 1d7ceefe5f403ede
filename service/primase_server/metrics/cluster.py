"""Counts replicas: how many there are, come, fail and are wanted."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from primase_server.cluster.controller import Controller, ModelStatus
from primase_server.cluster.member import ReplicaState
from primase_server.metrics.histogram import Histogram

START_SECONDS = (1, 3, 10, 30, 60, 120, 300, 600, 1800)


class ClusterMetrics(Collector):
    """A ClusterObserver; `watch` adds what a controller says of its models.

    Written on the event loop, read on any thread.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, label: str) -> Counter:
            return Counter(name, text, ("model", label), registry=registry)

        self._scalings = counter(
            "primase_scalings", "Changes of the number of replicas that is wanted.", "direction"
        )
        self._failures = counter(
            "primase_replica_failures",
            "Replicas that could not start, or ended by themselves.",
            "phase",
        )
        self._reloads = counter("primase_reloads", "Reloads of all replicas of a model.", "outcome")
        self._start_seconds = Histogram(
            "primase_replica_start_seconds",
            "Time from the wish for a replica until it takes calls.",
            START_SECONDS,
        )
        registry.register(self._start_seconds)
        self._controller: Controller | None = None
        self._statuses: dict[str, ModelStatus] = {}
        registry.register(self)

    def watch(self, controller: Controller) -> None:
        """Tell of its models, too."""
        self._controller = controller
        controller.on_change(self._changed)

    def scaled(self, model: str, before: int, after: int) -> None:
        """See ClusterObserver."""
        self._scalings.labels(model, "up" if after > before else "down").inc()

    def replica_ready(self, model: str, elapsed_s: float) -> None:
        """See ClusterObserver."""
        self._start_seconds.observe((model,), (elapsed_s,))

    def replica_failed(self, model: str, was_ready: bool) -> None:
        """See ClusterObserver."""
        self._failures.labels(model, "serving" if was_ready else "starting").inc()

    def reloaded(self, model: str, is_done: bool) -> None:
        """See ClusterObserver."""
        self._reloads.labels(model, "done" if is_done else "failed").inc()

    def describe(self) -> list[Metric]:
        """Nothing is looked at when it is registered."""
        return list(self._families())

    def collect(self) -> Iterator[Metric]:
        """All models as they were when something of them changed last."""
        replicas, wanted = self._families()
        served = self._controller.models if self._controller is not None else ()
        for model in served:
            if (status := self._statuses.get(model)) is None:
                continue
            for state in ReplicaState:
                replicas.add_metric((model, state.value), status.counts[state])
            wanted.add_metric((model,), status.desired)
        yield replicas
        yield wanted

    def _changed(self, model: str) -> None:
        assert self._controller is not None
        self._statuses[model] = self._controller.status(model)

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "primase_replicas", "Replicas in each state.", labels=("model", "state")
            ),
            GaugeMetricFamily(
                "primase_wanted_replicas", "Replicas that there should be.", labels=("model",)
            ),
        )
