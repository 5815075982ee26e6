"""The directory: organisations, contexts, domains, people, mailboxes, and who changed what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_organisations()
    _create_people()
    _create_mailboxes()
    _create_answers()
    _create_changes()


def _create_organisations() -> None:
    op.create_table(
        "organisation",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("title", sa.Text, server_default="", nullable=False),
        sa.Column("contact_name", sa.Text, server_default="", nullable=False),
        sa.Column("contact_address", sa.Text, server_default="", nullable=False),
        sa.Column("contact_phone", sa.Text, server_default="", nullable=False),
        sa.Column("plan_own_mailboxes", sa.Integer),
        sa.Column("plan_shared_mailboxes", sa.Integer),
        sa.Column("plan_members", sa.Integer),
        sa.Column("plan_aliases", sa.Integer),
        sa.Column("plan_message_bytes", sa.Integer),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisation"),
        sa.UniqueConstraint("name", name="uq_organisation_name"),
    )
    op.create_table(
        "context",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("title", sa.Text, server_default="", nullable=False),
        sa.Column("fallback_mailbox_id", sa.Text),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_context_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_context"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_context_organisation_id_name"),
    )
    op.create_table(
        "domain",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, server_default="unverified", nullable=False),
        sa.Column("state_since", sa.Float, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_domain_organisation_id"),
        sa.PrimaryKeyConstraint("name", name="pk_domain"),
    )
    op.create_index("ix_domain_organisation_id", "domain", ["organisation_id"])
    op.create_table(
        "context_plugin",
        sa.Column("context_id", sa.Text, nullable=False),
        sa.Column("plugin", sa.Text, nullable=False),
        sa.Column("enabled", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["context_id"], ["context.id"], name="fk_context_plugin_context_id"),
        sa.PrimaryKeyConstraint("context_id", "plugin", name="pk_context_plugin"),
    )
    op.create_table(
        "context_visibility",
        sa.Column("context_id", sa.Text, nullable=False),
        sa.Column("sees_context_id", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["context_id"], ["context.id"], name="fk_context_visibility_context_id"),
        sa.ForeignKeyConstraint(["sees_context_id"], ["context.id"], name="fk_context_visibility_sees_context_id"),
        sa.PrimaryKeyConstraint("context_id", "sees_context_id", name="pk_context_visibility"),
    )


def _create_people() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("context_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("name", sa.Text, server_default="", nullable=False),
        sa.Column("phone", sa.Text, server_default="", nullable=False),
        sa.Column("language", sa.Text, server_default="en", nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, server_default="active", nullable=False),
        sa.Column("extension", sa.Text, server_default="", nullable=False),
        sa.Column("deputy_id", sa.Text),
        sa.Column("password", sa.Text, server_default="", nullable=False),
        sa.Column("password_changed_at", sa.Float),
        sa.Column("credential_version", sa.Integer, server_default="1", nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("deactivated_at", sa.Float),
        sa.ForeignKeyConstraint(["context_id"], ["context.id"], name="fk_person_context_id"),
        sa.ForeignKeyConstraint(["deputy_id"], ["person.id"], name="fk_person_deputy_id"),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.UniqueConstraint("address", name="uq_person_address"),
    )
    op.create_index("ix_person_context_id", "person", ["context_id"])
    op.create_index("ix_person_deputy_id", "person", ["deputy_id"])
    op.create_index(
        "uq_person_context_id_extension",
        "person",
        ["context_id", "extension"],
        unique=True,
        sqlite_where=sa.text("extension <> ''"),
        postgresql_where=sa.text("extension <> ''"),
    )
    op.create_table(
        "app_password",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("person_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_app_password_person_id"),
        sa.PrimaryKeyConstraint("id", name="pk_app_password"),
    )
    op.create_index("ix_app_password_person_id", "app_password", ["person_id"])


def _create_mailboxes() -> None:
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("context_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text),
        sa.Column("display_name", sa.Text, server_default="", nullable=False),
        sa.Column("receives", sa.Integer, server_default="1", nullable=False),
        sa.Column("vip", sa.Integer, server_default="0", nullable=False),
        sa.Column("max_message_bytes", sa.Integer),
        sa.Column("next_hop", sa.Text, server_default="", nullable=False),
        sa.Column("relay", sa.Text, server_default="", nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.ForeignKeyConstraint(["context_id"], ["context.id"], name="fk_mailbox_context_id"),
        sa.ForeignKeyConstraint(["owner_id"], ["person.id"], name="fk_mailbox_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mailbox"),
    )
    op.create_index("ix_mailbox_context_id", "mailbox", ["context_id"])
    op.create_index("ix_mailbox_owner_id", "mailbox", ["owner_id"])
    op.create_table(
        "address",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_address_mailbox_id"),
        sa.PrimaryKeyConstraint("key", name="pk_address"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_address_domain", "address", ["domain"])
    op.create_index("ix_address_mailbox_id", "address", ["mailbox_id"])
    op.create_table(
        "membership",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("person_id", sa.Text, nullable=False),
        sa.Column("can_read", sa.Integer, nullable=False),
        sa.Column("can_send_as", sa.Integer, nullable=False),
        sa.Column("can_send_on_behalf", sa.Integer, nullable=False),
        sa.Column("can_manage", sa.Integer, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("until", sa.Float),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_membership_mailbox_id"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_membership_person_id"),
        sa.PrimaryKeyConstraint("id", name="pk_membership"),
    )
    op.create_index("ix_membership_mailbox_id", "membership", ["mailbox_id"])
    op.create_index("ix_membership_person_id", "membership", ["person_id"])
    op.create_index(
        "uq_membership_mailbox_id_person_id",
        "membership",
        ["mailbox_id", "person_id"],
        unique=True,
        sqlite_where=sa.text("until IS NULL"),
        postgresql_where=sa.text("until IS NULL"),
    )


def _create_answers() -> None:
    op.create_table(
        "out_of_office",
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, server_default="", nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("begins", sa.Float),
        sa.Column("ends", sa.Float),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_out_of_office_mailbox_id"),
        sa.PrimaryKeyConstraint("mailbox_id", name="pk_out_of_office"),
    )
    op.create_table(
        "auto_answer",
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["mailbox_id"], ["mailbox.id"], name="fk_auto_answer_mailbox_id"),
        sa.PrimaryKeyConstraint("mailbox_id", "sender", name="pk_auto_answer"),
    )
    op.create_index("ix_auto_answer_at", "auto_answer", ["at"])


def _create_changes() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, server_default="", nullable=False),
        sa.Column("noun", sa.Text, nullable=False),
        sa.Column("noun_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    op.create_index("ix_audit_entry_noun_id", "audit_entry", ["noun_id"])
    op.create_index("ix_audit_entry_organisation_id_at", "audit_entry", ["organisation_id", "at"])
    op.create_table(
        "directory_import",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("noun", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("planned", sa.Integer, nullable=False),
        sa.Column("written", sa.Integer, server_default="0", nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("touched_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_import"),
    )
    op.create_index("ix_directory_import_state", "directory_import", ["state"])
    version = op.create_table(
        "directory_version",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_directory_version"),
    )
    op.bulk_insert(version, [{"kind": "changes", "number": 0}])
