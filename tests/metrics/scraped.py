"""What a server's metrics say, read as a Prometheus server does."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.rpc.live import Live


@dataclass(frozen=True)
class Scraped:
    """All families by name."""

    families: dict[str, Metric]

    @classmethod
    def of_text(cls, text: str) -> "Scraped":
        return cls({family.name: family for family in text_string_to_metric_families(text)})

    @classmethod
    def of(cls, live: Live) -> "Scraped":
        answer = httpx.get(f"http://127.0.0.1:{live.app.metrics_port}/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return cls.of_text(answer.text)

    @property
    def names(self) -> set[str]:
        """Of all samples, and of their families."""
        samples = {sample.name for family in self.families.values() for sample in family.samples}
        return samples | set(self.families)

    def number(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with those labels, maybe among others."""
        return sum(value for found, value in self._samples(name) if labels.items() <= found.items())

    def labels(self, name: str) -> list[dict[str, str]]:
        """Those of every sample of that name."""
        return [labels for labels, _ in self._samples(name)]

    def _samples(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name:
                    yield sample.labels, sample.value
