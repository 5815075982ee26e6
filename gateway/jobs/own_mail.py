"""Mail of the gateway itself: a small text, addressed to one person, as a job of the outbox. Others say what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from gateway.jobs.outbox import CORE, SEND_MAIL, add_write
from gateway.mail.address import Address
from gateway.mail.ids import new_id
from gateway.routing.effects import Job
from gateway.store.store import Write


@dataclass(frozen=True, slots=True)
class OwnMail:
    """A text and who it goes to. `hostname` is the gateway's, for the Message-ID."""

    sender: Address
    to: Address
    subject: str
    text: str
    hostname: str

    def write(self, now: float, key: str = "") -> tuple[str, Write]:
        """The job's id, and the write that adds it to the outbox. Of two with the same `key` one is sent."""
        job_id = new_id()
        smtputf8 = not (self.to.is_ascii and self.sender.is_ascii)
        content = self._message(job_id, now).as_bytes(policy=SMTPUTF8 if smtputf8 else SMTP)
        payload = {"sender": "", "recipients": [str(self.to)], "smtputf8": smtputf8}
        return job_id, add_write(job_id, Job(SEND_MAIL, payload, key or job_id, CORE, content), now)

    def _message(self, job_id: str, now: float) -> EmailMessage:
        message = EmailMessage()
        message["From"] = HeaderAddress(username=self.sender.local, domain=self.sender.domain)
        message["To"] = HeaderAddress(username=self.to.local, domain=self.to.domain)
        message["Subject"] = self.subject
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
        message.set_content(self.text, cte="quoted-printable")
        message["Date"] = datetime.fromtimestamp(now, UTC)
        message["Message-ID"] = f"<{job_id}@{self.hostname}>"
        return message
