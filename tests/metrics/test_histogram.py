"""Our histogram in a Prometheus registry."""

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from primase_server.metrics.histogram import Histogram
from tests.metrics.scraped import Scraped


def scraped(histogram: Histogram) -> Scraped:
    registry = CollectorRegistry()
    registry.register(histogram)
    return Scraped.of_text(generate_latest(registry).decode())


def test_buckets_count_all_up_to_their_end() -> None:
    histogram = Histogram("took_seconds", "Time.", (0.1, 1))
    histogram.observe(("a",), (0.05, 0.1, 0.5, 7))
    found = scraped(histogram)
    buckets = {le: found.number("took_seconds_bucket", model="a", le=le) for le in ("0.1", "1.0")}
    assert buckets == {"0.1": 2, "1.0": 3}
    assert found.number("took_seconds_bucket", model="a", le="+Inf") == 4
    assert found.number("took_seconds_count", model="a") == 4
    assert found.number("took_seconds_sum", model="a") == pytest.approx(7.65)


def test_label_values_are_escaped() -> None:
    histogram = Histogram("took_seconds", "Time.", (1,))
    histogram.observe(('a"b\\c\nd} 1',), (0.5,))
    assert scraped(histogram).labels("took_seconds_count") == [{"model": 'a"b\\c\nd} 1'}]


def test_its_name_can_be_taken_once() -> None:
    registry = CollectorRegistry()
    registry.register(Histogram("took_seconds", "Time.", (1,)))
    with pytest.raises(ValueError, match="took_seconds"):
        registry.register(Histogram("took_seconds", "Time.", (1,)))


def test_a_value_costs_less_than_a_microsecond() -> None:
    histogram = Histogram("took_seconds", "Time.", tuple(range(14)))
    values = [n % 15 for n in range(20_000)]
    spent_s = []
    for _ in range(5):
        started_s = time.thread_time()
        histogram.observe(("a",), values)
        spent_s.append(time.thread_time() - started_s)
    assert min(spent_s) / len(values) < 1e-6
