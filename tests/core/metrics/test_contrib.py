"""The alert rules and the dashboard ask for metrics and labels that there are, and monitoring.md explains every one."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from gateway.metrics.exposition import exposition
from gateway.metrics.families import FAMILIES, Family
from gateway.metrics.snapshot import Snapshot

ROOT = Path(__file__).parents[3]
RULES = ROOT / "contrib/prometheus/stellwerk.rules.yml"
DASHBOARD = ROOT / "contrib/grafana/stellwerk.json"
MONITORING = ROOT / "docs/admin/monitoring.md"
_NAME = re.compile(r"stellwerk_[a-z_]+")
_WITH_LABELS = re.compile(r"(stellwerk_[a-z_]+)\{([^}]*)\}")
_OF_PROMETHEUS = {"instance", "job", "le"}


def shown_names() -> dict[str, Family]:
    """Every name that `/metrics` shows, as it shows it."""
    snapshot = Snapshot()
    for family in FAMILIES.values():
        numbers = [1.0] * {"histogram": len(family.buckets) + 2, "summary": 2}.get(family.kind, 1)
        snapshot.put(family.name, ("x",) * len(family.labels), *numbers)
    body = exposition(snapshot)[0].decode()
    names = {re.split(r"[{ ]", line)[0] for line in body.splitlines() if not line.startswith("#")}
    return {name: family for name in names for family in FAMILIES.values() if name.startswith(family.name)}


def queries() -> list[str]:
    rules = RULES.read_text()
    expressions = re.findall(r"expr: (?:>-\n)?(.+?)(?=\n +(?:for|labels):)", rules, re.DOTALL)
    assert len(expressions) == rules.count("- alert:")
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(panels) > 30
    return [*expressions, *panels, dashboard["templating"]["list"][1]["query"]]


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_what_there_is(query: str) -> None:
    names = shown_names()
    used = set(_NAME.findall(query)) - {"stellwerk_"}
    assert used or 'job="stellwerk"' in query
    assert used <= set(names)
    for name, matchers in _WITH_LABELS.findall(query):
        labels = set(re.findall(r"([a-z_]+)\s*(?:=~|=|!=)", matchers))
        assert labels <= set(names[name].labels) | _OF_PROMETHEUS


def test_each_panel_has_a_number_of_its_own_and_a_data_source_to_choose() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel.get("targets", [])} == {
        "${source}"
    }


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_the_documentation_explains_every_metric(family: Family) -> None:
    name = family.name + ("_total" if family.kind == "counter" else "")
    assert f"`{name}`" in MONITORING.read_text()


def test_the_documentation_names_every_alert_and_no_metric_that_is_none() -> None:
    text = MONITORING.read_text()
    for alert in re.findall(r"- alert: (\w+)", RULES.read_text()):
        assert f"`{alert}`" in text
    assert set(_NAME.findall(text)) <= set(shown_names()) | set(FAMILIES)


@pytest.mark.server("promtool")
def test_promtool_takes_the_rules_and_the_metrics() -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    body = exposition(Snapshot())[0]
    ran = subprocess.run(["promtool", "check", "metrics"], input=body, check=False, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
