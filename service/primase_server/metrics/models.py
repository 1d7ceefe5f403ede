"""Tells of the models as they are when somebody looks: state, weights, queue, memory."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from primase_server.engine.engine import Engine, QueueState
from primase_server.errors import PrimaseError
from primase_server.models.card import ModelState
from primase_server.models.registry import Registry, ServedModel

QUEUE = (
    ("primase_queued_tokens", "Tokens of passes that have not started.", "queued_tokens"),
    ("primase_queued_bytes", "Bytes of what waits, runs, or is not yet read.", "queued_bytes"),
    ("primase_queued_items", "Items that have not ended.", "queued_items"),
    ("primase_running_tokens", "Tokens of the step on the device.", "running_tokens"),
    ("primase_tokens_per_second", "Speed measured lately.", "tokens_per_s"),
    ("primase_running_sequences", "Sequences with state on the device.", "num_sequences"),
    ("primase_state_bytes", "Bytes reserved for the state of sequences.", "state_bytes"),
)


class ModelCollector(Collector):
    """Reads registry and engine. Takes a device's lock for a moment, and never waits for a step."""

    def __init__(self, registry: Registry, engine: Engine) -> None:
        self._registry = registry
        self._engine = engine

    def describe(self) -> list[Metric]:
        """Nothing of its own is looked at when it is registered."""
        return [family for _, family in self._queues()]

    def collect(self) -> Iterator[Metric]:
        """All models now."""
        states = GaugeMetricFamily(
            "primase_model_state", "1 for the state that a model is in.", labels=("model", "state")
        )
        info = InfoMetricFamily(
            "primase_model", "What a model is, and which kind of weights it has.", labels=("model",)
        )
        limits = GaugeMetricFamily(
            "primase_state_limit_bytes",
            "Bytes that the state of sequences may take.",
            labels=("model",),
        )
        queues = self._queues()
        for served in tuple(self._registry):
            for state in ModelState:
                states.add_metric((served.name, state.value), float(served.state is state))
            info.add_metric((served.name,), _description(served))
            if served.room is not None:
                # generation and other work have as much each
                limits.add_metric((served.name,), 2 * served.room.state_bytes)
            if (queue := self._queue(served.name)) is not None:
                for field, family in queues:
                    family.add_metric((served.name,), getattr(queue, field))
        yield states
        yield info
        yield limits
        for _, family in queues:
            yield family

    def _queues(self) -> list[tuple[str, GaugeMetricFamily]]:
        return [
            (field, GaugeMetricFamily(name, text, labels=("model",))) for name, text, field in QUEUE
        ]

    def _queue(self, name: str) -> QueueState | None:
        try:
            return self._engine.queue_state(name)
        except PrimaseError:
            return None


def _description(served: ServedModel) -> dict[str, str]:
    card = served.card
    return {
        "family": served.family,
        "variant": served.variant,
        "weights": card.weights.source.value if card else "",
        "dtype": card.dtype if card else "",
        "device": card.device if card else "",
    }
