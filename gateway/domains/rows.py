"""A claim as it stands in the directory's table, and as the state machine knows it. No query is made here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from gateway.domains.facts import Fact, Facts
from gateway.domains.states import Standing, State

KEPT_OBSERVATIONS = 20


def standing_of(row: Row[Any]) -> Standing:
    """The claim of a row of `domain`."""
    known = json.loads(row.known)
    return Standing(
        State(row.state),
        row.state_since,
        facts=_facts(known.get("facts", {})),
        token_issued_at=row.token_issued_at,
        accepts_until=row.accepts_until,
        previous=State(known["previous"]) if known.get("previous") else None,
        cause=known.get("cause", ""),
        ends_at=known.get("ends_at"),
        frozen_at=row.frozen_at,
        disputed_at=row.disputed_at,
        told=known.get("told", 0),
    )


def columns_of(standing: Standing) -> dict[str, Any]:
    """The columns that hold it."""
    until = standing.takes_mail_until()
    return {
        "state": str(standing.state),
        "state_since": standing.since,
        "takes_mail_until": None if until == float("inf") else until,
        "token_issued_at": standing.token_issued_at,
        "accepts_until": standing.accepts_until,
        "frozen_at": standing.frozen_at,
        "disputed_at": standing.disputed_at,
        "known": json.dumps(
            {
                "facts": _written(standing.facts),
                "previous": standing.previous,
                "cause": standing.cause,
                "ends_at": standing.ends_at,
                "told": standing.told,
            }
        ),
    }


def _written(facts: Facts) -> dict[str, Any]:
    return {**asdict(facts), "name_servers": sorted(facts.name_servers)}


def _facts(written: Mapping[str, Any]) -> Facts:
    if not written:
        return Facts()
    more = {name: value for name, value in written.items() if name not in ("ownership", "routing", "name_servers")}
    return Facts(
        Fact(**written["ownership"]),
        Fact(**written["routing"]),
        name_servers=frozenset(written["name_servers"]),
        **more,
    )


def with_observations(before: str, new: Sequence[Mapping[str, Any]]) -> str:
    """The column `observations` with some more, of which the last 20 are kept.

    One is what a server answered, as plain fields that whoever asked has made printable: `at`, `server`, `name`,
    `type`, `rcode`, `ede`, `ad`, `ttl`, `texts`.
    """
    kept = [*json.loads(before), *map(dict, new)]
    return json.dumps(kept[-KEPT_OBSERVATIONS:])


def contacts_of(row: Row[Any]) -> list[str]:
    return str(row.contacts).split()
