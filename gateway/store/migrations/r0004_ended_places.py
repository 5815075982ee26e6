"""Organisations and contexts can end, and stay in the directory for what was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0004"
down_revision = "core_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("organisation", "context"):
        op.add_column(table, sa.Column("ended_at", sa.Float))
