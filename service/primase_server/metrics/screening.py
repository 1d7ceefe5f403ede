"""Counts what a screener says."""

from prometheus_client import CollectorRegistry, Counter


class ScreeningMetrics:
    """A ScreeningObserver."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._screenings = Counter(
            "primase_screenings",
            "Generated samples that a screener was asked about; failed is no verdict.",
            ("model", "verdict"),
            registry=registry,
        )

    def screened(self, model: str, verdict: str) -> None:
        """See ScreeningObserver."""
        self._screenings.labels(model, verdict).inc()
