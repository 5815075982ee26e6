"""Runs the cases of the kinds domain_name, lifecycle and claim: names, states and claims, without any DNS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.directory.errors import BadValue
from gateway.domains.contest import judge
from gateway.domains.facts import DAY, HOUR, Facts, Observation
from gateway.domains.names import claimable
from gateway.domains.states import ACCEPT_WITHOUT_MX_SECONDS, GRACE_SECONDS, Standing, State, claim, observe

Case = dict[str, Any]

FIELDS = {"name", "domain", "records", "check", "expected_status", "expected_normalised", "params", "why"}
LIFECYCLE_PARAMS = {"start", "observations", "token"}
CLAIM_PARAMS = {"existing", "claimant", "claimant_token_seen"}
EXISTING = {"account", "state", "token_present", "missing_hours"}
START = 1_700_000_000.0


def _knows(what: str, given: dict[str, Any], known: set[str]) -> None:
    unknown = set(given) - known
    assert not unknown, f"the runner does not know the {what} {sorted(unknown)}: the case would run only in part"


async def run_domain_name(case: Case) -> None:
    _knows("fields", case, FIELDS)
    _knows("parameters", case.get("params", {}), set())
    try:
        found = claimable(case["domain"])
    except BadValue:
        assert case["expected_status"] == "reject"
        return
    assert ("hold" if found.hold else "ok") == case["expected_status"]
    assert found.name == case.get("expected_normalised", found.name)


async def run_lifecycle(case: Case) -> None:
    """Observations are [days, ownership, routing], each pass a proof: how often one is seen is ownership's business.

    An "old" token is one from before the present state, a "fresh" one is of after its beginning.
    """
    _knows("fields", case, FIELDS)
    params = case["params"]
    _knows("parameters", params, LIFECYCLE_PARAMS)
    state = State(params["start"])
    standing = _standing(state)
    issued_at = {"fresh": START + 1, "old": START - DAY}[
        params.get("token", "fresh" if state is State.PENDING else "old")
    ]
    for days, ownership, routing in params["observations"]:
        standing, _ = observe(standing, Observation(START + days * DAY, ownership, routing, issued_at, sure=True))
    assert standing.state == case["expected_status"], standing


def _standing(state: State) -> Standing:
    if state is State.PENDING:
        return claim(START)
    standing = Standing(state, START, token_issued_at=START - DAY)
    if state is State.VERIFIED:
        return replace(standing, accepts_until=START + ACCEPT_WITHOUT_MX_SECONDS)
    if state is State.GRACE:
        return replace(standing, previous=State.ACTIVE, cause="ownership", ends_at=START + GRACE_SECONDS["ownership"])
    return standing


async def run_claim(case: Case) -> None:
    """A second account claims a name that another may have: `judge` says what comes of it."""
    _knows("fields", case, FIELDS)
    params = case["params"]
    _knows("parameters", params, CLAIM_PARAMS)
    existing = params["existing"] or {}
    _knows("facts of the existing claim", existing, EXISTING)
    assert existing.get("account") != params["claimant"]
    now = START + 100 * DAY
    claimant = claim(now - DAY)
    seen = Observation(now, "pass" if params.get("claimant_token_seen") else "fail", "fail", now - DAY, sure=True)
    verdict = judge(replace(claimant, facts=Facts().seen(seen)), _holder(existing, now), now)
    assert verdict == case["expected_status"]


def _holder(existing: Case, now: float) -> Standing | None:
    """The existing claim, if it holds the name: looked at daily, its token there or missing for so many hours."""
    if existing.get("state") in (None, "pending", "expired", "released"):
        return None
    facts = Facts()
    missing = existing.get("missing_hours", 0) * HOUR
    looks = [now - missing + part * missing / 2 for part in range(3)] if missing else [now]
    for at in looks:
        facts = facts.seen(Observation(at, "pass" if existing.get("token_present") else "fail", "pass", START))
    return Standing(State(existing["state"]), START, facts, START)
