"""How an automatic answer is written down: a small message of our own, plain text (RFC 3834 3)."""

from __future__ import annotations

import email.policy
from datetime import UTC, datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.utils import format_datetime

from gateway.mail.address import Address
from gateway.mail.headers import Headers

_MOST_SUBJECT = 200
_MOST_REFERENCES = 10
# Fields of ours never fold away from what every server takes; the text may hold any character.
_POLICY = email.policy.SMTP.clone(max_line_length=76)


def answer(
    *,
    mailbox: Address,
    display_name: str,
    to: Address,
    subject: str,
    text: str,
    original: Headers,
    now: float,
    message_id: str,
) -> bytes:
    """The answer of `mailbox` to the return path `to`, with CRLF lines. An empty `subject` takes the original's.

    `message_id` has no angle brackets. What is quoted of the original cannot break out of its field.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = HeaderAddress(_one_line(display_name), mailbox.local, mailbox.domain)
    message["To"] = HeaderAddress("", to.local, to.domain)
    quoted = _one_line(next(iter(original.texts("subject")), ""))[:_MOST_SUBJECT]
    message["Subject"] = _one_line(subject) or f"Auto: {quoted or '(no subject)'}"
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{message_id}>"
    if replied := _message_ids(original.get("message-id"))[:1]:
        message["In-Reply-To"] = replied[0]
        earlier = _message_ids(original.get("references")) or _message_ids(original.get("in-reply-to"))[:1]
        message["References"] = " ".join((*earlier[-_MOST_REFERENCES:], replied[0]))
    message["Auto-Submitted"] = "auto-replied"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(text.rstrip("\n") + "\n")
    return message.as_bytes()


def _one_line(text: str) -> str:
    """Without anything that could end a field or steer a reader's screen."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _message_ids(text: str) -> list[str]:
    """What looks like message ids: printable ASCII in angle brackets, of a length that is no attack."""
    words = text.replace("><", "> <").split()
    return [w for w in words if w[0] == "<" and w[-1] == ">" and 2 < len(w) <= 250 and w.isascii() and w.isprintable()]
