"""All numbers of one service, in a registry of their own."""

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from primase_server.engine.engine import Engine
from primase_server.metrics.calls import CallMetrics
from primase_server.metrics.cluster import ClusterMetrics
from primase_server.metrics.models import ModelCollector
from primase_server.metrics.screening import ScreeningMetrics
from primase_server.metrics.work import WorkMetrics
from primase_server.models.registry import Registry


class Metrics:
    """`calls`, `work` and `screening` are told of what happens, `text` tells it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.calls = CallMetrics(self.registry)
        self.work = WorkMetrics(self.registry)
        self.screening = ScreeningMetrics(self.registry)

    def watch(self, models: Registry, engine: Engine) -> None:
        """Tell of these models, too."""
        self.registry.register(ModelCollector(models, engine))

    def replicas(self) -> ClusterMetrics:
        """Count replicas, too. Once."""
        return ClusterMetrics(self.registry)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format 0.0.4. May be called on any thread."""
        return generate_latest(self.registry)
