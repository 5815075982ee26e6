"""Telling people what to enter in their mail program: a mail of our own, committed with its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jinja2

from gateway.config.client_setup import ClientSetupConfig
from gateway.directory import names
from gateway.directory.change import Change
from gateway.directory.errors import Conflict
from gateway.directory.people import SetPassword, find_person
from gateway.jobs.own_mail import OwnMail
from gateway.mail.address import Address

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
        subject = _SUBJECTS[found.row.language].format(found.row.address)
        job_id, write = OwnMail(sender, to, subject, text, self.hostname).write(change.now)
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
