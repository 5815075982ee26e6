"""Steps that commands and looks share when they change a claim. Each is a part of somebody's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, and_, update

from gateway.directory.change import Change
from gateway.directory.tables import domain, domain_token
from gateway.domains.rows import columns_of, standing_of
from gateway.domains.states import Standing, State


def leave(change: Change, row: Row[Any], state: State, action: str) -> None:
    """Into a state that no look leads to, by somebody's decision. Nothing of the old state goes on."""
    standing = Standing(state, change.now, standing_of(row).facts, row.token_issued_at)
    values = columns_of(standing)
    noted = {name: values.pop(name) for name in ("state", "state_since")}
    change.change(domain, row, noted, action=action, name=row.name, organisation_id=row.organisation_id)
    set_columns(change, row, {**values, "next_look_at": None})


def revoke_tokens(change: Change, row: Row[Any]) -> None:
    """All of this organisation for the name, for ever."""
    mine = and_(domain_token.c.name == row.name, domain_token.c.organisation_id == row.organisation_id)
    unrevoked = and_(mine, domain_token.c.revoked_at.is_(None))
    change.connection.execute(update(domain_token).where(unrevoked).values(revoked_at=change.now))


def set_columns(change: Change, row: Row[Any], values: dict[str, Any]) -> None:
    """Past the audit: what is not for people, or told by an entry of its own."""
    grown = {**values, "version": domain.c.version + 1}
    change.connection.execute(update(domain).where(domain.c.id == row.id).values(**grown))


def end_dispute(change: Change, name: str, but: str = "") -> None:
    """Nobody doubts any more who has the name: holder and claimants, but the claim `but`, are not disputed."""
    both = and_(domain.c.name == name, domain.c.disputed_at.is_not(None), domain.c.id != but)
    change.connection.execute(update(domain).where(both).values(disputed_at=None, version=domain.c.version + 1))
