"""Journal, trace, outbox and the table of single facts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    _create_journal()
    _create_job()
    op.create_table(
        "trace",
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("listener", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipients", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("story", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", name="pk_trace"),
    )
    op.create_index("ix_trace_at", "trace", ["at"])


def _create_journal() -> None:
    op.create_table(
        "journal_entry",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_journal_entry"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_journal_entry_created_at", "journal_entry", ["created_at"])
    op.create_index("ix_journal_entry_digest_sender", "journal_entry", ["digest", "sender"])
    op.create_table(
        "journal_step",
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("final", sa.Text, nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reply", sa.Text, server_default="", nullable=False),
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("leased_by", sa.Text, server_default="", nullable=False),
        sa.Column("leased_until", sa.Float, server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("doubts", sa.Integer, server_default="0", nullable=False),
        sa.Column("closed_at", sa.Float),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["journal_entry.id"], name="fk_journal_step_entry_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("entry_id", "recipient", "position", name="pk_journal_step"),
        sqlite_with_rowid=False,
    )


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("entry_id", sa.Text, server_default="", nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("leased_by", sa.Text),
        sa.Column("leased_until", sa.Float),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("state", sa.Text, server_default="due", nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("owner", "kind", "key", name="uq_job_owner_kind_key"),
    )
    op.create_index("ix_job_entry_id", "job", ["entry_id"])
    op.create_index("ix_job_state_due_at", "job", ["state", "due_at"])
