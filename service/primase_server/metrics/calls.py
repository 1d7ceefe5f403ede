"""Counts what is asked of the service, and how it was answered."""

import grpc
from prometheus_client import CollectorRegistry, Counter

from primase.reasons import REASONS
from primase_server.metrics.histogram import Histogram
from primase_server.rpc.call import OK, Call

# From the shortest read of the smallest model to a long generation of the largest.
SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


class CallMetrics:
    """A CallObserver. Labels are methods that exist, models that are configured, and reasons of the
    contract: nothing that a caller could make up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "primase_requests",
            "Calls that have ended; code is that of gRPC, reason OK or an ErrorReason.",
            ("model", "method", "code", "reason"),
            registry=registry,
        )
        self._total = Histogram(
            "primase_request_seconds",
            "Time from a call's arrival to its end.",
            SECONDS,
            ("model", "method"),
        )
        self._queue = Histogram(
            "primase_request_queue_seconds",
            "Time from a call's admission until work on it began.",
            SECONDS,
        )
        self._compute = Histogram(
            "primase_request_compute_seconds",
            "Time from the first work on a call to the end of the last.",
            SECONDS,
        )
        for histogram in (self._total, self._queue, self._compute):
            registry.register(histogram)

    def call_finished(self, call: Call) -> None:
        """See CallObserver."""
        method = call.method.removeprefix("/")
        self._requests.labels(call.model, method, _code(call.outcome), call.outcome).inc()
        self._total.observe((call.model, method), (call.elapsed_ms / 1000,))
        if call.spent is not None:
            self._queue.observe((call.model,), (call.spent.queue_s,))
            self._compute.observe((call.model,), (call.spent.compute_s,))


def _code(outcome: str) -> str:
    code = grpc.StatusCode.OK if outcome == OK else REASONS[outcome].code
    return code.name
