"""The directory's entries that grow old: what the audit may forget. Who had access when is no entry, and stays."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from gateway.directory.tables import audit_entry

PURGED_AT_ONCE = 1000


def purge_audit(connection: Connection, payloads: Sequence[float], /) -> Sequence[int]:
    """Delete entries from before the given POSIX time, so many at once that mail need not wait; how many."""
    return [_purge_one(connection, before) for before in payloads]


def _purge_one(connection: Connection, before: float) -> int:
    older = select(audit_entry.c.id).where(audit_entry.c.at < before).limit(PURGED_AT_ONCE)
    return connection.execute(delete(audit_entry).where(audit_entry.c.id.in_(older))).rowcount
