"""What a Prometheus server reads here: the requests of this process, the queue, the GPUs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import ClientDisconnect

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.disconnect import ClientGone
from primase_gateway.errors import Refusal
from primase_gateway.gpus import GpuCollector
from primase_gateway.tracing import METHODS

MEDIA_TYPE = "text/plain; version=0.0.4"
# From the shortest read of the smallest model to a long generation of the largest.
SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


class Metrics:
    """The numbers of one gateway, counted from its start."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(GpuCollector())
        self._requests = self._counter(
            "evo2_requests", "Requests to the NIM routes, by status.", "route", "code"
        )
        self._seconds = Histogram(
            "evo2_request_seconds",
            "Time until the answer of a NIM route was complete or refused.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._prompt_tokens = self._counter("evo2_prompt_tokens", "Tokens of prompts read.")
        self._generated_tokens = self._counter("evo2_generated_tokens", "Tokens generated.")
        self._nucleotides = self._counter("evo2_forward_nucleotides", "Bases read by forward.")
        self._queue_depth = Gauge(
            "evo2_queue_depth",
            "Tokens that wait or run.",
            ["model"],
            registry=self._registry,
        )

        self._answered = self._counter(
            "primase_gateway_requests",
            "Requests answered, by the pattern of their path; empty where there is none of it.",
            *("route", "method", "code"),
        )
        self._answer_seconds = Histogram(
            "primase_gateway_request_seconds",
            "Time from a request's arrival until its answer was complete.",
            ["route", "method"],
            buckets=SECONDS,
            registry=self._registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    @contextmanager
    def timed(self, route: str) -> Iterator[None]:
        """Count and time one request, which ends with the Refusal that is raised, or well."""
        started_s = time.monotonic()
        code = 500
        try:
            yield
            code = 200
        except Refusal as refusal:
            code = refusal.http_status
            raise
        except (ClientGone, ClientDisconnect):
            code = 499
            raise
        finally:
            self._requests.labels(route, str(code)).inc()
            self._seconds.labels(route).observe(time.monotonic() - started_s)

    def count_request(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """One request of any dialect. `route` is a pattern of ours, never a client's own words."""
        method = method if method in METHODS else "other"
        self._answered.labels(route, method, str(status)).inc()
        self._answer_seconds.labels(route, method).observe(elapsed_s)

    def count_generate(self, num_prompt_tokens: int, num_new_tokens: int) -> None:
        """`generate` read and made these."""
        self._prompt_tokens.inc(num_prompt_tokens)
        self._generated_tokens.inc(num_new_tokens)

    def count_forward(self, num_bases: int) -> None:
        """`forward` read these."""
        self._nucleotides.inc(num_bases)

    def text(self, models: list[models_pb.Model]) -> bytes:
        """All of it, with the queues of `models`."""
        self._queue_depth.clear()
        for model in models:
            if model.family == models_pb.MODEL_FAMILY_EVO2:
                self._queue_depth.labels(model.name).set(model.num_queued_tokens)
        return generate_latest(self._registry)
