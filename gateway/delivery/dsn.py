"""Delivery status notifications (RFC 3464): the bytes of the report, from plain facts.

Pure: no clock, no ids of its own, no decision who gets one. The original message is quoted byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from gateway.mail.address import Address
from gateway.mail.reply import Reply

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
# RFC 6533 section 3: what a utf-8-addr-xtext cannot hold as it is.
_EMBEDDED = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")
_LINE = 78


class Action(StrEnum):
    """RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of one recipient. Times are POSIX.

    `final` is the address it had in the end; `orcpt` the ORCPT parameter as it was sent (`rfc822;` and xtext). `reply`
    gives status and diagnostic text; without one the status is that of `action`. `remote_mta` is the host that replied.
    """

    final: Address
    action: Action
    reply: Reply | None = None
    orcpt: str = ""
    remote_mta: str = ""
    last_attempt: float | None = None
    will_retry_until: float | None = None

    @property
    def status(self) -> str:
        """RFC 3463; from the class of the reply when that has no enhanced code."""
        if self.reply is not None:
            return self.reply.enhanced or f"{self.reply.code // 100}.0.0"
        return {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}.get(self.action, "2.0.0")


_SUBJECTS = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.DELIVERED: "Your message was delivered",
    Action.RELAYED: "Your message was handed on",
    Action.EXPANDED: "Your message was sent on to several recipients",
}
_EXPLANATIONS = {
    Action.FAILED: ("It could not be delivered to the following addresses,", "and will not be tried again:"),
    Action.DELAYED: (
        "It could not be delivered yet to the following addresses.",
        "Nothing needs to be done, it will be tried again:",
    ),
    Action.DELIVERED: ("It was delivered to the mailboxes of the following addresses:",),
    Action.RELAYED: (
        "It was handed on for the following addresses to a mail server that does",
        "not confirm delivery, so that no further notice may come:",
    ),
    Action.EXPANDED: (
        "It was sent on by the following addresses to several recipients.",
        "No notice of their deliveries will come:",
    ),
}


def notification(
    *,
    to: Address,
    recipients: Sequence[ReportedRecipient],
    original: bytes,
    full: bool,
    reporting_mta: str,
    now: float,
    message_id: str,
    envid: str = "",
    arrived: float | None = None,
    transaction: str = "",
    smtputf8: bool = False,
) -> bytes:
    """The notification for `to`, the return path of the message that `recipients` are about (one at least).

    `original` is that message, or only its header block; it is returned whole when `full` is set and somebody failed
    (RFC 3461 4.3), else its header. `message_id` has no angle brackets, `envid` is the ENVID parameter as it was sent,
    `transaction` our id of it, for people. With `smtputf8` the report itself may travel under SMTPUTF8 and holds
    non-ASCII addresses as they are (RFC 6533); it must anyway when `to` is such an address. Line ends are CRLF, but for
    others in `original`.
    """
    smtputf8 = smtputf8 or not to.is_ascii
    actions = [action for action in Action if any(recipient.action is action for recipient in recipients)]
    returned, returned_type = _returned(original, full and Action.FAILED in actions, smtputf8)
    parts = [
        _part("text/plain; charset=utf-8", _for_people(actions, recipients, reporting_mta, transaction)),
        _part(
            "message/global-delivery-status" if smtputf8 else "message/delivery-status",
            _for_machines(recipients, reporting_mta, envid, arrived, smtputf8),
        ),
        _part(returned_type, returned),
    ]
    boundary = _boundary(message_id, parts)
    header = [
        f"From: Mail delivery <MAILER-DAEMON@{reporting_mta}>",
        f"To: <{to}>",
        f"Subject: {_SUBJECTS[actions[0]]}",
        f"Date: {_date(now)}",
        f"Message-ID: <{message_id}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    return "".join(f"{field}\r\n" for field in header).encode() + b"\r\n" + body + line + b"--\r\n"


def _for_people(
    actions: Sequence[Action], recipients: Sequence[ReportedRecipient], reporting_mta: str, transaction: str
) -> bytes:
    lines = [f"This is the mail server {reporting_mta}. It reports on a message you sent."]
    for action in actions:
        lines += ["", *_EXPLANATIONS[action], ""]
        for recipient in recipients:
            if recipient.action is action:
                lines.append(f"  <{recipient.final}>")
                if recipient.reply is not None:
                    lines += [f"    {line}" for line in _wrapped(str(recipient.reply), _LINE - 4)]
    if transaction:
        lines += ["", f"If you ask for help, mention this id: {_clean(transaction)}"]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _for_machines(
    recipients: Sequence[ReportedRecipient], reporting_mta: str, envid: str, arrived: float | None, smtputf8: bool
) -> bytes:
    """RFC 3464 section 2: a block for the message, then one for each recipient."""
    message = [f"Original-Envelope-Id: {_decoded(envid)}"] if envid else []
    message.append(f"Reporting-MTA: dns; {reporting_mta}")
    if arrived is not None:
        message.append(f"Arrival-Date: {_date(arrived)}")
    blocks = [message, *(_recipient_fields(recipient, smtputf8) for recipient in recipients)]
    return "\r\n".join("".join(f"{field}\r\n" for field in block) for block in blocks).encode()


def _recipient_fields(recipient: ReportedRecipient, smtputf8: bool) -> list[str]:
    fields = []
    kind, separator, original = recipient.orcpt.partition(";")
    if separator:
        fields.append(f"Original-Recipient: {_original(_clean(kind), original, smtputf8)}")
    fields.append(f"Final-Recipient: {_typed(str(recipient.final), smtputf8)}")
    fields.append(f"Action: {recipient.action}")
    fields.append(f"Status: {recipient.status}")
    if recipient.remote_mta:
        fields.append(f"Remote-MTA: dns; {_clean(recipient.remote_mta)}")
    if recipient.reply is not None:
        fields.append("\r\n ".join(_wrapped(f"Diagnostic-Code: smtp; {recipient.reply}", _LINE - 1)))
    if recipient.last_attempt is not None:
        fields.append(f"Last-Attempt-Date: {_date(recipient.last_attempt)}")
    if recipient.will_retry_until is not None and recipient.action is Action.DELAYED:
        fields.append(f"Will-Retry-Until: {_date(recipient.will_retry_until)}")
    return fields


def _original(kind: str, coded: str, smtputf8: bool) -> str:
    """ORCPT as a field (RFC 3464 2.3.1): its xtext decoded, unless it then would be no line of text."""
    if kind.lower() == "utf-8" and not smtputf8:
        return f"{kind};{_clean(coded)}" if coded.isascii() else f"{kind};{_embedded(coded)}"
    text = _decoded(coded)
    return f"{kind};{text}" if text.isascii() or smtputf8 else f"utf-8;{_embedded(text)}"


def _typed(address: str, smtputf8: bool) -> str:
    if address.isascii():
        return f"rfc822; {_clean(address)}"
    return f"utf-8; {_clean(address)}" if smtputf8 else f"utf-8; {_embedded(address)}"


def _embedded(text: str) -> str:
    """utf-8-addr-xtext (RFC 6533 section 3): ASCII with code points as `\\x{E4}`."""
    return _EMBEDDED.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", text)


def _decoded(coded: str) -> str:
    """The text that xtext stands for; the xtext itself when the text would hold control characters."""
    octets = _XTEXT.sub(lambda found: chr(int(found[1], 16)), coded)
    try:
        text = octets.encode("latin-1").decode("utf-8")
    except UnicodeError:
        text = octets if octets.isascii() else _clean(coded)
    return text if text.isprintable() else _clean(coded)


def _returned(original: bytes, full: bool, smtputf8: bool) -> tuple[bytes, str]:
    """The part to return and its content type."""
    if full:
        return original, "message/global" if smtputf8 else "message/rfc822"
    end = 0 if original.startswith(b"\r\n") else original.find(b"\r\n\r\n")
    header = original if end < 0 else original[: end + 2] if end else b""
    return header, "message/global-headers" if smtputf8 else "text/rfc822-headers"


def _part(content_type: str, content: bytes) -> bytes:
    encoding = "7bit" if content.isascii() else "8bit"
    return f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content


def _boundary(seed: str, parts: Iterable[bytes]) -> str:
    """A boundary that occurs in no part (RFC 2046 5.1.1)."""
    everything = b"".join(parts)
    boundary = sha256(seed.encode()).hexdigest()[:32]
    while boundary.encode() in everything:
        boundary = sha256(boundary.encode()).hexdigest()[:32]
    return boundary


def _wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` where its spaces allow."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _date(moment: float) -> str:
    """RFC 5322 3.3, in UTC; written out since the names must not follow the locale."""
    when = datetime.fromtimestamp(moment, UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[when.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day}, {when.day:02d} {months[when.month - 1]} {when:%Y %H:%M:%S} +0000"


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()
