"""The directory's tables: who belongs to whom, which addresses there are, who may do what, and who changed it.

Part of the core's revisions (gateway/store/migrations). Times are POSIX seconds, flags 0 or 1, texts empty rather than
null; null means "none" for references and times, and "unlimited" for limits. Nothing that people worked with is
deleted: people are deactivated, memberships and mailboxes ended, so that who had access when stays answerable.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from gateway.store.schema import metadata

_HELD = "state IN ('trusted', 'verified', 'active', 'parked', 'grace', 'suspended')"

# The customer: owns domains, has administrators and somebody who may ask for resets. plan_*: null is unlimited.
organisation = Table(
    "organisation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True, doc="handle on the command line: a-z, 0-9, -"),
    Column("title", Text, nullable=False, server_default=""),
    Column("contact_name", Text, nullable=False, server_default="", doc="who may ask for resets"),
    Column("contact_address", Text, nullable=False, server_default=""),
    Column("contact_phone", Text, nullable=False, server_default=""),
    Column("plan_own_mailboxes", Integer, doc="personal mailboxes of one person"),
    Column("plan_shared_mailboxes", Integer, doc="mailboxes that others share with one person"),
    Column("plan_members", Integer, doc="members of one shared mailbox"),
    Column("plan_aliases", Integer, doc="aliases of one mailbox"),
    Column("plan_message_bytes", Integer, doc="largest message"),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
)

# A department or site. People of one context see each other.
context = Table(
    "context",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation_id", Text, ForeignKey("organisation.id"), nullable=False),
    Column("name", Text, nullable=False, doc="handle within the organisation"),
    Column("title", Text, nullable=False, server_default=""),
    Column("fallback_mailbox_id", Text, doc="takes mail that would go to somebody who has left"),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    UniqueConstraint("organisation_id", "name"),
)

# One direction: people of `context_id` see the people of `sees_context_id`.
context_visibility = Table(
    "context_visibility",
    metadata,
    Column("context_id", Text, ForeignKey("context.id"), primary_key=True),
    Column("sees_context_id", Text, ForeignKey("context.id"), primary_key=True),
)

# Plugins that are switched on or off for a context; without a row the plugin's own default counts.
context_plugin = Table(
    "context_plugin",
    metadata,
    Column("context_id", Text, ForeignKey("context.id"), primary_key=True),
    Column("plugin", Text, primary_key=True),
    Column("enabled", Integer, nullable=False),
)

# A domain of an organisation, or its claim to be one; every context of it may have addresses there. Any number may
# claim a name, one holds it (the index sees to that). What is done with mail follows from `state`: domains/states.py.
domain = Table(
    "domain",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, doc="A-label, lower case"),
    Column("organisation_id", Text, ForeignKey("organisation.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("state_since", Float, nullable=False),
    Column("takes_mail_until", Float, doc="RCPT says yes until then; null: without an end"),
    Column("scope", Text, nullable=False, server_default="exact", doc="exact, tree"),
    Column("contacts", Text, nullable=False, server_default="", doc="addresses outside of the domain, a space between"),
    Column("hold", Text, nullable=False, server_default="", doc="why an operator must approve; empty: nobody need"),
    Column("serial", Integer, nullable=False, server_default="0", doc="of the newest token"),
    Column("token", Text, nullable=False, server_default="", doc="the newest; it is public once it is in DNS"),
    Column("token_issued_at", Float, nullable=False, server_default="0"),
    Column("accepts_until", Float, nullable=False, server_default="0", doc="without an MX of ours, while verified"),
    Column("frozen_at", Float),
    Column("disputed_at", Float),
    Column("known", Text, nullable=False, server_default="{}", doc="JSON: the facts; see domains/rows.py"),
    Column("observations", Text, nullable=False, server_default="[]", doc="JSON: the last 20, oldest first"),
    Column("announced", Text, nullable=False, server_default="", doc="the state that plugins were told of last"),
    Column("next_look_at", Float, doc="null: DNS is not looked at"),
    Column("leased_until", Float, doc="somebody looks at this moment"),
    Column("version", Integer, nullable=False, server_default="0", doc="grows with every change: compare and set"),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("name", "organisation_id"),
    Index(None, "organisation_id"),
    Index(None, "next_look_at"),
    Index("uq_domain_holder", "name", unique=True, sqlite_where=text(_HELD), postgresql_where=text(_HELD)),
)

# Every token ever issued. Rows are never deleted, so that a serial is never used again and a revoked token stays so.
domain_token = Table(
    "domain_token",
    metadata,
    Column("token", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("organisation_id", Text, ForeignKey("organisation.id"), nullable=False),
    Column("serial", Integer, nullable=False),
    Column("scope", Text, nullable=False),
    Column("issued_at", Float, nullable=False),
    Column("used_at", Float, doc="when it was first proven"),
    Column("revoked_at", Float),
    UniqueConstraint("name", "organisation_id", "serial"),
)

# Addresses of an organisation that lost the domain to another one: theirs again if they get it back in time.
sealed_address = Table(
    "sealed_address",
    metadata,
    Column("key", Text, primary_key=True),
    Column("organisation_id", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("mailbox_id", Text, ForeignKey("mailbox.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("sealed_at", Float, nullable=False),
    Index(None, "domain"),
    Index(None, "sealed_at"),
    Index(None, "mailbox_id"),
)

# A user. `credential_version` grows whenever what was valid before must not be any more; every session remembers it.
person = Table(
    "person",
    metadata,
    Column("id", Text, primary_key=True),
    Column("context_id", Text, ForeignKey("context.id"), nullable=False),
    Column("address", Text, nullable=False, unique=True, doc="user name at login: an address in its normal form"),
    Column("name", Text, nullable=False, server_default="", doc="as it stands in From"),
    Column("phone", Text, nullable=False, server_default=""),
    Column("language", Text, nullable=False, server_default="en", doc="en or de"),
    Column("role", Text, nullable=False, doc="member, context_admin, organisation_admin, operator"),
    Column("state", Text, nullable=False, server_default="active", doc="active, inactive"),
    Column("extension", Text, nullable=False, server_default="", doc="at most 4 digits, unique in the context"),
    Column("deputy_id", Text, ForeignKey("person.id"), doc="takes over what is for somebody who has left"),
    Column("password", Text, nullable=False, server_default="", doc="argon2id, PHC string; empty: no login"),
    Column("password_changed_at", Float),
    Column("credential_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Float, nullable=False),
    Column("deactivated_at", Float),
    Index(None, "context_id"),
    Index(None, "deputy_id"),
    Index(
        "uq_person_context_id_extension",
        "context_id",
        "extension",
        unique=True,
        sqlite_where=text("extension <> ''"),
        postgresql_where=text("extension <> ''"),
    ),
)

# A further password of a person, for one program or device.
app_password = Table(
    "app_password",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    Column("label", Text, nullable=False),
    Column("password", Text, nullable=False, doc="argon2id, PHC string"),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Index(None, "person_id"),
)

mailbox = Table(
    "mailbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("context_id", Text, ForeignKey("context.id"), nullable=False),
    Column("address", Text, nullable=False, doc="its main address, in its normal form"),
    Column("kind", Text, nullable=False, doc="personal, shared"),
    Column("owner_id", Text, ForeignKey("person.id")),
    Column("display_name", Text, nullable=False, server_default="", doc="replaces the name in From at submission"),
    Column("receives", Integer, nullable=False, server_default="1"),
    Column("vip", Integer, nullable=False, server_default="0"),
    Column("max_message_bytes", Integer),
    Column("next_hop", Text, nullable=False, server_default="", doc="empty: routing.hosted"),
    Column("relay", Text, nullable=False, server_default="", doc="JSON: the sender's own smart host; see relay.py"),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Index(None, "context_id"),
    Index(None, "owner_id"),
)

# Every address that takes mail, once: main addresses, aliases, intake addresses. RCPT asks this table alone.
address = Table(
    "address",
    metadata,
    Column("key", Text, primary_key=True, doc="normal form: lower-case local part, A-label domain"),
    Column("domain", Text, nullable=False, doc="of an organisation; for intake addresses, of the gateway"),
    Column("mailbox_id", Text, ForeignKey("mailbox.id"), nullable=False),
    Column("kind", Text, nullable=False, doc="main, alias, intake"),
    Column("created_at", Float, nullable=False),
    Index(None, "mailbox_id"),
    Index(None, "domain"),
    sqlite_with_rowid=False,
)

# Who may use a mailbox that is not their own. Never deleted and never changed but for `until`.
membership = Table(
    "membership",
    metadata,
    Column("id", Text, primary_key=True),
    Column("mailbox_id", Text, ForeignKey("mailbox.id"), nullable=False),
    Column("person_id", Text, ForeignKey("person.id"), nullable=False),
    Column("can_read", Integer, nullable=False),
    Column("can_send_as", Integer, nullable=False),
    Column("can_send_on_behalf", Integer, nullable=False),
    Column("can_manage", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float),
    Index(None, "mailbox_id"),
    Index(None, "person_id"),
    Index(
        "uq_membership_mailbox_id_person_id",
        "mailbox_id",
        "person_id",
        unique=True,
        sqlite_where=text("until IS NULL"),
        postgresql_where=text("until IS NULL"),
    ),
)

# The out-of-office text of a mailbox. `begins` and `ends` are null where it is not limited.
out_of_office = Table(
    "out_of_office",
    metadata,
    Column("mailbox_id", Text, ForeignKey("mailbox.id"), primary_key=True),
    Column("subject", Text, nullable=False, server_default=""),
    Column("text", Text, nullable=False),
    Column("begins", Float),
    Column("ends", Float),
)

# Who was answered when (RFC 3834 2: one answer to one sender in so many days).
auto_answer = Table(
    "auto_answer",
    metadata,
    Column("mailbox_id", Text, ForeignKey("mailbox.id"), primary_key=True),
    Column("sender", Text, primary_key=True, doc="normal form"),
    Column("at", Float, nullable=False),
    Index(None, "at"),
)

# Every change of the directory. `organisation_id` is empty for what concerns the installation.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False, doc="mailbox.add, person.deactivate, ..."),
    Column("organisation_id", Text, nullable=False, server_default=""),
    Column("noun", Text, nullable=False, doc="mailbox, person, ..."),
    Column("noun_id", Text, nullable=False),
    Column("name", Text, nullable=False, doc="what the noun was called then"),
    Column("before", Text, nullable=False, doc="JSON: what changed, as it was"),
    Column("after", Text, nullable=False, doc="JSON: what changed, as it is"),
    Index(None, "at"),
    Index(None, "noun_id"),
    Index(None, "organisation_id", "at"),
)

# A counter that caches watch: see change.py. The migration puts its only row in.
directory_version = Table(
    "directory_version",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)

# An import that is written in chunks: whoever finds one that is not finished and not touched any more takes it back.
directory_import = Table(
    "directory_import",
    metadata,
    Column("id", Text, primary_key=True, doc="ids of its rows are this, - and the row's number"),
    Column("noun", Text, nullable=False, doc="person, mailbox"),
    Column("actor", Text, nullable=False),
    Column("state", Text, nullable=False, doc="writing, done, undoing, undone"),
    Column("planned", Integer, nullable=False, doc="rows"),
    Column("written", Integer, nullable=False, server_default="0", doc="rows"),
    Column("started_at", Float, nullable=False),
    Column("touched_at", Float, nullable=False),
    Index(None, "state"),
)
