"""Telling people what to enter in their mail program: a mail of our own, committed with its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

import jinja2

from gateway.config.client_setup import ClientSetupConfig
from gateway.directory import names
from gateway.directory.change import Change
from gateway.directory.errors import Conflict
from gateway.directory.people import SetPassword, find_person
from gateway.jobs.outbox import CORE, SEND_MAIL, add_write
from gateway.mail.address import Address
from gateway.mail.ids import new_id
from gateway.routing.effects import Job

_WHAT: Mapping[str, Mapping[str, str]] = {
    "imap": {"en": "Read mail (IMAP)", "de": "E-Mail lesen (IMAP)"},
    "pop3": {"en": "Fetch mail (POP3)", "de": "E-Mail abholen (POP3)"},
    "smtp": {"en": "Send mail (SMTP)", "de": "E-Mail senden (SMTP)"},
}
_SECURITY = {"tls": "SSL/TLS", "starttls": "STARTTLS"}
_SUBJECTS = {"en": "Mail settings for {}", "de": "Mail-Zugangsdaten für {}"}


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password that was made: what the person reads, and what is stored."""

    text: str
    hashed: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The job that sends the mail; and how many app passwords stay valid, None where no password was set."""

    job_id: str
    app_passwords: int | None


@dataclass(frozen=True, slots=True)
class SendCredentials:
    """Server names, ports and the user name to the address `to`, in the person's language.

    With `password` that one is set, in the same transaction, and stands in the mail; `end_app_passwords` is for then.
    """

    address: str
    to: str
    setup: ClientSetupConfig
    hostname: str
    password: NewPassword | None = None
    end_app_passwords: bool = False

    def run(self, change: Change, /) -> Sent:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id:
            found.must_be_administered_by(change.actor, "send their credentials")
        found.must_be_active()
        to = names.address(self.to)
        if not any((self.setup.imap.server, self.setup.pop3.server, self.setup.smtp.server)):
            raise Conflict(
                "there is nothing to tell people: the configuration names no server in [client_setup.imap], "
                "[client_setup.pop3] or [client_setup.smtp]"
            )
        kept = None
        if self.password is not None:
            kept = SetPassword(found.row.address, self.password.hashed, self.end_app_passwords).run(change)
        sender = Address.parse(self.setup.sender or f"postmaster@{self.hostname}")
        text = credentials_text(self.setup, found.row.address, found.row.language, self.password, kept or 0)
        message = _message(sender, to, _SUBJECTS[found.row.language].format(found.row.address), text)
        job_id = new_id()
        message["Date"] = datetime.fromtimestamp(change.now, UTC)
        message["Message-ID"] = f"<{job_id}@{self.hostname}>"
        smtputf8 = not (to.is_ascii and sender.is_ascii)
        content = message.as_bytes(policy=SMTPUTF8 if smtputf8 else SMTP)
        payload = {"sender": "", "recipients": [str(to)], "smtputf8": smtputf8}
        write = add_write(job_id, Job(SEND_MAIL, payload, f"credentials:{job_id}", CORE, content), change.now)
        write.function(change.connection, [write.payload])
        change.note("person.credentials", "person", found.row.id, found.row.address, found.organisation_id,
                    sent_to=str(to), with_new_password=self.password is not None)  # fmt: skip
        return Sent(job_id, kept)


def credentials_text(
    setup: ClientSetupConfig, user: str, language: str, password: NewPassword | None, app_passwords: int = 0
) -> str:
    """The text of the mail. `app_passwords` stay valid beside a new `password`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.directory"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  a text mail, not HTML
    )
    servers = [
        {"what": _WHAT[protocol], "server": one.server, "port": one.port, "security": _SECURITY[one.security]}
        for protocol, one in (("imap", setup.imap), ("pop3", setup.pop3), ("smtp", setup.smtp))
        if one.server
    ]
    return environment.get_template(f"credentials.{language}.txt.j2").render(
        user=user,
        servers=servers,
        password="" if password is None else password.text,
        app_passwords=app_passwords,
        help=setup.help,
    )


def _message(sender: Address, to: Address, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = Mailbox(username=sender.local, domain=sender.domain)
    message["To"] = Mailbox(username=to.local, domain=to.domain)
    message["Subject"] = subject
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
    message.set_content(text, cte="quoted-printable")
    return message
