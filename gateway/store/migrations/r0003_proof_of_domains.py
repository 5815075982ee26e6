"""Claims of domains and what is known of them; several organisations may claim a name, and one holds it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None

_HELD = "state IN ('trusted', 'verified', 'active', 'parked', 'grace', 'suspended')"


def upgrade() -> None:
    rows = _take_domains()
    _create_domains()
    _put_domains(rows)
    op.create_table(
        "domain_token",
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("serial", sa.Integer, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("issued_at", sa.Float, nullable=False),
        sa.Column("used_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_domain_token_organisation_id"),
        sa.PrimaryKeyConstraint("token", name="pk_domain_token"),
        sa.UniqueConstraint("name", "organisation_id", "serial", name="uq_domain_token_name_organisation_id_serial"),
    )
    op.create_table(
        "sealed_address",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("sealed_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_sealed_address_mailbox_id"),
        sa.PrimaryKeyConstraint("key", "organisation_id", name="pk_sealed_address"),
    )
    op.create_index("ix_sealed_address_domain", "sealed_address", ["domain"])
    op.create_index("ix_sealed_address_sealed_at", "sealed_address", ["sealed_at"])
    op.create_index("ix_sealed_address_mailbox_id", "sealed_address", ["mailbox_id"])


def _take_domains() -> list[dict[str, object]]:
    """All rows; the table goes, because SQLite cannot give it another primary key. There are few domains."""
    query = sa.text("SELECT name, organisation_id, state, state_since, created_at FROM domain")
    rows = [dict(row._mapping) for row in op.get_bind().execute(query)]
    op.drop_table("domain")
    return rows


def _create_domains() -> None:
    op.create_table(
        "domain",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("state_since", sa.Float, nullable=False),
        sa.Column("takes_mail_until", sa.Float),
        sa.Column("scope", sa.Text, server_default="exact", nullable=False),
        sa.Column("contacts", sa.Text, server_default="", nullable=False),
        sa.Column("hold", sa.Text, server_default="", nullable=False),
        sa.Column("serial", sa.Integer, server_default="0", nullable=False),
        sa.Column("token", sa.Text, server_default="", nullable=False),
        sa.Column("token_issued_at", sa.Float, server_default="0", nullable=False),
        sa.Column("accepts_until", sa.Float, server_default="0", nullable=False),
        sa.Column("frozen_at", sa.Float),
        sa.Column("disputed_at", sa.Float),
        sa.Column("known", sa.Text, server_default="{}", nullable=False),
        sa.Column("observations", sa.Text, server_default="[]", nullable=False),
        sa.Column("announced", sa.Text, server_default="", nullable=False),
        sa.Column("next_look_at", sa.Float),
        sa.Column("leased_until", sa.Float),
        sa.Column("version", sa.Integer, server_default="0", nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_domain_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_domain"),
        sa.UniqueConstraint("name", "organisation_id", name="uq_domain_name_organisation_id"),
    )
    op.create_index("ix_domain_organisation_id", "domain", ["organisation_id"])
    op.create_index("ix_domain_next_look_at", "domain", ["next_look_at"])
    op.create_index(
        "uq_domain_holder",
        "domain",
        ["name"],
        unique=True,
        sqlite_where=sa.text(_HELD),
        postgresql_where=sa.text(_HELD),
    )


def _put_domains(rows: list[dict[str, object]]) -> None:
    table = sa.table(
        "domain",
        *(sa.column(name) for name in ("id", "name", "organisation_id", "state", "announced")),
        *(sa.column(name) for name in ("state_since", "takes_mail_until", "created_at")),
    )
    op.bulk_insert(
        table,
        [
            {
                **row,
                "id": row["name"],
                "announced": row["state"],
                "takes_mail_until": None if row["state"] == "trusted" else 0.0,
            }
            for row in rows
        ],
    )
