"""The core's own tables. Queries live with the noun they are about, plugins' tables with the plugin.

A change here needs a revision in migrations/; a test compares the two. Times are POSIX seconds. JSON is Text, written
and read by its owner: no query looks into it, and both databases treat it alike.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Single facts about this installation.
meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One message whose custody we took, or try to: see docs/journal.md.
journal_entry = Table(
    "journal_entry",
    metadata,
    Column("id", Text, primary_key=True, doc="id of the transaction that made the entry"),
    Column("sender", Text, nullable=False, doc="empty: the null sender"),
    Column("digest", Text, nullable=False, doc="sha256 of the content (ContentDigest), hexadecimal"),
    Column("created_at", Float, nullable=False),
    Index(None, "digest", "sender"),
    Index(None, "created_at"),
    sqlite_with_rowid=False,
)

# One step of one original recipient.
journal_step = Table(
    "journal_step",
    metadata,
    Column("entry_id", Text, ForeignKey("journal_entry.id", ondelete="CASCADE"), primary_key=True),
    Column("recipient", Text, primary_key=True, doc="original recipient, in its normal form"),
    Column("position", Integer, primary_key=True, doc="within the recipient's plan"),
    Column("final", Text, nullable=False, doc="the address the copy goes to; empty when nothing is handed on"),
    Column("via", Text, nullable=False, doc="next hop"),
    Column("step", Text, nullable=False, doc="JSON: the planned step, which a retry runs"),
    Column("state", Text, nullable=False, doc="sending, done, refused, deferred, unknown"),
    Column("reply", Text, nullable=False, server_default="", doc="JSON: the last reply"),
    Column("transaction_id", Text, nullable=False, doc="of the last attempt"),
    Column("leased_by", Text, nullable=False, server_default="", doc="instance that works on it"),
    Column("leased_until", Float, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("doubts", Integer, nullable=False, server_default="0", doc="attempts whose outcome nobody knows"),
    Column("closed_at", Float, doc="the client confirmed the reply"),
    Column("updated_at", Float, nullable=False),
    sqlite_with_rowid=False,
)

# What happened to a message, by the id in its Received line and reply.
trace = Table(
    "trace",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("listener", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipients", Text, nullable=False, doc="JSON: list of addresses"),
    Column("outcome", Text, nullable=False, doc="the reply"),
    Column("story", Text, nullable=False, doc="JSON: hook, plugin, milliseconds, verdict; the plan"),
    Index(None, "at"),
)

# The outbox: what is done after the reply, at least once.
job = Table(
    "job",
    metadata,
    Column("id", Text, primary_key=True),
    Column("entry_id", Text, nullable=False, server_default="", doc="journal entry whose delivery it waits for"),
    Column("owner", Text, nullable=False, doc="core or a plugin"),
    Column("kind", Text, nullable=False),
    Column("key", Text, doc="idempotency key; the same key of the same owner and kind is the same job"),
    Column("payload", Text, nullable=False, doc="JSON"),
    Column("content", LargeBinary, doc="a message to send"),
    Column("due_at", Float, nullable=False),
    Column("leased_by", Text),
    Column("leased_until", Float),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("state", Text, nullable=False, server_default="due", doc="due, dead, done, held"),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("owner", "kind", "key"),
    Index(None, "state", "due_at"),
    Index(None, "entry_id"),
)
