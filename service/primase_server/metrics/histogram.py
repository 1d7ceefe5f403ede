"""A histogram that takes many values in a row for a fraction of a microsecond each."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class _Counts:
    def __init__(self, num_buckets: int) -> None:
        self.in_bucket = [0] * num_buckets
        self.sum = 0.0


class Histogram(Collector):
    """Counts by label values. Written on one thread, without a lock, and read on any.

    bounds: upper ends of the buckets, ascending; what is above the last is counted too.
    """

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], labels: Sequence[str] = ("model",)
    ) -> None:
        self._name = name
        self._text = text
        self._bounds = tuple(bounds)
        self._labels = tuple(labels)
        self._ends = [*map(floatToGoString, self._bounds), "+Inf"]
        self._counts: dict[tuple[str, ...], _Counts] = {}

    def observe(self, labels: tuple[str, ...], values: Iterable[float]) -> None:
        """Count the values."""
        if (counts := self._counts.get(labels)) is None:
            counts = self._counts[labels] = _Counts(len(self._ends))
        bounds, in_bucket = self._bounds, counts.in_bucket
        for value in values:
            in_bucket[bisect_left(bounds, value)] += 1
            counts.sum += value

    def describe(self) -> list[HistogramMetricFamily]:
        """Its name, so that no other is given it."""
        return [HistogramMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Its numbers now."""
        [family] = self.describe()
        for labels, counts in tuple(self._counts.items()):
            up_to = accumulate(tuple(counts.in_bucket))
            buckets = [(end, float(count)) for end, count in zip(self._ends, up_to, strict=True)]
            family.add_metric(labels, buckets, counts.sum)
        yield family
