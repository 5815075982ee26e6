"""Metrics are named as Prometheus asks for, and their labels are bounded."""

from __future__ import annotations

import re

import pytest

from gateway.metrics.exposition import exposition
from gateway.metrics.families import FAMILIES, Family
from gateway.metrics.snapshot import Snapshot

UNITS = ("_seconds", "_bytes")
# What an address, a domain or an id would be: as many series as there are senders.
UNBOUNDED = {"address", "client", "domain", "id", "recipient", "sender", "helo", "instance", "process", "reply"}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_name_follows_the_conventions(family: Family) -> None:
    assert re.fullmatch(r"stellwerk(_[a-z]+)+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_milliseconds", "_percent"))
    assert family.help.endswith(".")
    assert not UNBOUNDED & set(family.labels)
    if family.kind in {"histogram", "summary"}:
        assert family.name.endswith(UNITS)
    assert bool(family.buckets) == (family.kind == "histogram")
    assert list(family.buckets) == sorted(family.buckets)


def test_every_family_is_shown_even_without_a_series() -> None:
    body, content_type = exposition(Snapshot())
    assert content_type.startswith("text/plain; version=")
    for family in FAMILIES.values():
        name = family.name + ("_total" if family.kind == "counter" else "")
        assert f"# TYPE {name} {family.kind}\n".encode() in body


def test_numbers_are_shown_in_both_formats() -> None:
    snapshot = Snapshot()
    snapshot.put("stellwerk_messages", ("mx", "accepted"), 3)
    snapshot.put("stellwerk_connections_open", ('odd"name\n',), 2)
    snapshot.put("stellwerk_store_commit_seconds", ("smtp",), 1.5, 4)
    buckets = FAMILIES["stellwerk_event_loop_lag_seconds"].buckets
    snapshot.put("stellwerk_event_loop_lag_seconds", ("smtp",), 7.5, 1, 2, *[0] * (len(buckets) - 2), 1)
    plain = exposition(snapshot)[0].decode()
    for line in (
        'stellwerk_messages_total{listener="mx",verdict="accepted"} 3.0',
        'stellwerk_connections_open{listener="odd\\"name\\n"} 2.0',
        'stellwerk_store_commit_seconds_sum{role="smtp"} 1.5',
        'stellwerk_store_commit_seconds_count{role="smtp"} 4.0',
        'stellwerk_event_loop_lag_seconds_bucket{le="0.005",role="smtp"} 1.0',
        'stellwerk_event_loop_lag_seconds_bucket{le="0.01",role="smtp"} 3.0',
        'stellwerk_event_loop_lag_seconds_bucket{le="+Inf",role="smtp"} 4.0',
        'stellwerk_event_loop_lag_seconds_sum{role="smtp"} 7.5',
    ):
        assert f"{line}\n" in plain
    openmetrics, content_type = exposition(snapshot, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert openmetrics.endswith(b"# EOF\n")
