"""A snapshot in Prometheus's text format, by its own library. Nothing is counted here."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.metrics.families import FAMILIES, Family
from gateway.metrics.snapshot import Labels, Numbers, Snapshot


def exposition(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """(body, content type) for a client that accepts `accept`: the text format, or OpenMetrics."""
    encoder, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return encoder(registry), content_type


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, those without a series too: their names are there to be found."""
        for name, family in FAMILIES.items():
            yield _metric(family, self._snapshot.values.get(name, {}))


def _metric(family: Family, series: dict[Labels, Numbers]) -> Metric:
    if family.kind == "counter":
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for labels, numbers in sorted(series.items()):
            counter.add_metric(labels, numbers[0])
        return counter
    if family.kind == "gauge":
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for labels, numbers in sorted(series.items()):
            gauge.add_metric(labels, numbers[0])
        return gauge
    if family.kind == "summary":
        summary = SummaryMetricFamily(family.name, family.help, labels=family.labels)
        for labels, (total, count) in sorted(series.items()):
            summary.add_metric(labels, int(count), total)
        return summary
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, (total, *buckets) in sorted(series.items()):
        histogram.add_metric(labels, list(_cumulative(family, buckets)), total)
    return histogram


def _cumulative(family: Family, buckets: Numbers) -> Iterator[tuple[str, float]]:
    reached = 0.0
    for bound, count in zip((*(repr(bound) for bound in family.buckets), "+Inf"), buckets, strict=True):
        reached += count
        yield bound, reached
