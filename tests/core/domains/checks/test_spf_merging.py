"""The one SPF record that is offered to a domain."""

from __future__ import annotations

import pytest

from gateway.domains.checks.spf.merging import merged_record
from gateway.domains.checks.spf.record import parse


@pytest.mark.parametrize(
    ("existing", "merged"),
    [
        pytest.param([], "v=spf1 include:spf.g.test ~all", id="nothing yet"),
        pytest.param(["hello"], "v=spf1 include:spf.g.test ~all", id="other text"),
        pytest.param(["v=spf1 -all"], "v=spf1 include:spf.g.test -all", id="nobody until now"),
        pytest.param(
            ["v=spf1 mx include:_spf.o.test -all"], "v=spf1 include:spf.g.test mx include:_spf.o.test -all", id="others"
        ),
        pytest.param(["v=spf1 a Include:SPF.g.test ~all"], "v=spf1 include:spf.g.test a ~all", id="ours already"),
        pytest.param(["v=spf1 +all"], "v=spf1 include:spf.g.test ~all", id="everybody"),
        pytest.param(["v=spf1 a ptr ?all"], "v=spf1 include:spf.g.test a ?all", id="ptr goes"),
        pytest.param(["v=spf1 a -all ip4:192.0.2.1"], "v=spf1 include:spf.g.test a -all", id="behind all"),
        pytest.param(["v=spf1 a -all", "v=spf1 mx ~all"], "v=spf1 include:spf.g.test a mx ~all", id="two"),
        pytest.param(["v=spf1 redirect=_spf.o.test"], "v=spf1 include:spf.g.test redirect=_spf.o.test", id="redirect"),
        pytest.param(
            ["v=spf1 redirect=_spf.o.test", "v=spf1 a -all"],
            "v=spf1 include:spf.g.test a include:_spf.o.test -all",
            id="redirect beside an all",
        ),
        pytest.param([' "v=spf1 a -all" '], "v=spf1 include:spf.g.test a -all", id="spoilt by quotes"),
        pytest.param(["v=spf1 ipv4:192.0.2.1 a -all"], "v=spf1 include:spf.g.test a -all", id="mistakes go"),
        pytest.param(["v=spf1 foo=bar -all"], "v=spf1 include:spf.g.test foo=bar -all", id="unknown modifier stays"),
    ],
)
def test_merging(existing: list[str], merged: str) -> None:
    assert merged_record(existing, ["include:spf.g.test"]) == merged
    parse(merged)
    assert merged_record([merged], ["include:spf.g.test"]) == merged, "what was entered is offered again"


def test_without_a_name_of_ours_the_hosts_are_written() -> None:
    merged = merged_record(["v=spf1 a:mx1.g.test -all"], ["a:mx1.g.test", "a:mx2.g.test"])
    assert merged == "v=spf1 a:mx1.g.test a:mx2.g.test -all"
