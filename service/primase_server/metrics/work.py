"""Counts what the engine does: jobs, steps, tokens."""

from prometheus_client import CollectorRegistry, Counter

from primase_server.engine.observer import SilentObserver, StepSeen
from primase_server.errors import PrimaseError
from primase_server.metrics.calls import SECONDS
from primase_server.metrics.histogram import Histogram

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STEP_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
TOKEN_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 3, 10, 30)


class WorkMetrics(SilentObserver):
    """An EngineObserver. What it does for a step costs some microseconds, for a token well below
    one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ("model", *labels), registry=registry)

        def histogram(name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
            made = Histogram(name, text, bounds)
            registry.register(made)
            return made

        self._admitted = counter("primase_jobs_admitted", "Jobs let into a model's queue.")
        self._refused = counter(
            "primase_jobs_refused", "Jobs that were not let into a model's queue.", "reason"
        )
        self._read = counter(
            "primase_read_tokens", "Tokens read: of prompts, and of all passes of other work."
        )
        self._drawn = counter("primase_generated_tokens", "Tokens drawn.")
        self._step_seconds = histogram(
            "primase_step_seconds", "Time of a step on the device.", STEP_SECONDS
        )
        self._fill = histogram(
            "primase_step_fill_ratio", "Tokens of a step, of the most that it may have.", SHARES
        )
        self._rows = histogram("primase_step_rows", "Sequences that shared a step.", ROWS)
        self._first = histogram(
            "primase_time_to_first_token_seconds",
            "Time from a job's admission to the first token of each of its samples.",
            SECONDS,
        )
        self._between = histogram(
            "primase_inter_token_seconds",
            "Time from each token of a sample to its next.",
            TOKEN_SECONDS,
        )

    def step_finished(self, model: str, step: StepSeen) -> None:
        """See EngineObserver."""
        first_s, between_s = step.pace.first_s, step.pace.between_s
        self._read.labels(model).inc(step.num_tokens - len(between_s))
        self._drawn.labels(model).inc(len(first_s) + len(between_s))
        labels = (model,)
        self._step_seconds.observe(labels, (step.elapsed_s,))
        self._fill.observe(labels, (step.num_tokens / step.max_tokens,))
        self._rows.observe(labels, (step.num_rows,))
        if first_s:
            self._first.observe(labels, first_s)
        if between_s:
            self._between.observe(labels, between_s)

    def job_admitted(self, model: str) -> None:
        """See EngineObserver."""
        self._admitted.labels(model).inc()

    def job_refused(self, model: str, error: PrimaseError) -> None:
        """See EngineObserver."""
        self._refused.labels(model, error.reason).inc()
