"""The header fields that the gateway itself writes, and what it removes of those that pretend to be its own.

Received (RFC 5321 4.4), a loop stamp that nobody else can make, and nothing a plugin could want to decide.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

from gateway.mail.authentication_results import FIELD as AUTHENTICATION_RESULTS
from gateway.mail.authentication_results import authserv_id
from gateway.mail.edits import Edits, Splice
from gateway.mail.envelope import Envelope, Session
from gateway.mail.headers import Field, Headers

NAMESPACE = "x-stellwerk-"
LOOP_FIELD = "X-Stellwerk-Loop"
LOOPS_ALLOWED = 1  # an address outside may forward a message back to us once
_UNSAFE = re.compile(r"[^\x21-\x27\x2a-\x5b\x5d-\x7e]+")  # RFC 5322 ctext: no controls, spaces, parentheses, backslash


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a header tells about loops and forgeries. `loops`: valid stamps of ours for this listener."""

    received: int
    loops: int
    edits: Edits
    removed: tuple[str, ...] = ()


class Stamp:
    """Makes and checks the gateway's own fields. `secret` is shared by all nodes of an installation."""

    def __init__(self, hostname: str, secret: bytes) -> None:
        self._hostname = hostname
        self._secret = secret

    def message_id(self, transaction_id: str) -> str:
        """What a message gets that has no Message-ID."""
        return f"<{transaction_id}@{self._hostname}>"

    def received_line(self, transaction_id: str, session: Session, envelope: Envelope, at: float) -> str:
        """The Received field of this hop, without its final CRLF. Names the recipient only when there is one."""
        client = session.client
        helo = _word(client.helo or session.helo) or "unknown"
        host = " ".join(part for part in (_word(client.name), _address_literal(client.address)) if part)
        if session.hides_client:
            helo, host = "client", "hidden"
        recipient = f"\r\n\tfor <{envelope.recipients[0].address}>" if len(envelope.recipients) == 1 else ""
        return (
            f"Received: from {helo} ({host})\r\n"
            f"\tby {self._hostname} (Stellwerk) with {_protocol(session, envelope)}{_tls(session)} id {transaction_id}"
            f"{recipient};\r\n\t{_date(int(at))}"
        )

    def inspect(self, header_block: bytes, listener: str, new_message_id: str = "") -> Inspection:
        """Look for loops and for fields that only we may write; `edits` removes the forged ones and adds our stamp.

        `new_message_id` is what the message gets if it has no Message-ID.
        """
        lower = header_block.lower()
        received = lower.count(b"\nreceived:") + lower.startswith(b"received:")
        ours = b"x-stellwerk-" in lower or (b"authentication-results" in lower and self._may_be_named_in(lower))
        message_id = _message_id(header_block, lower) or new_message_id.encode()
        mark = [listener, self._digest(listener, message_id)]
        stamp = f"{LOOP_FIELD}: {' '.join(mark)}"
        if not ours:
            return Inspection(received, 0, Edits((stamp,)))
        headers = Headers(header_block)
        forged = [field for field in headers if self._is_forged(field, message_id)]
        loops = sum(_mark(field) == mark for field in headers.all(LOOP_FIELD))
        if not forged:
            return Inspection(received, loops, Edits((stamp,)))
        signed = headers.signed_names()
        splices = tuple(Splice(field.start, field.end) for field in forged)
        broken = tuple(sorted({field.name for field in forged} & signed))
        return Inspection(received, loops, Edits((stamp,), splices, broken), tuple(field.name for field in forged))

    def _is_forged(self, field: Field, message_id: bytes) -> bool:
        if field.name == LOOP_FIELD.lower():
            listener, digest = _mark(field)
            return not hmac.compare_digest(digest.encode(), self._digest(listener, message_id).encode())
        if field.name == AUTHENTICATION_RESULTS:
            named = authserv_id(field.value)
            return named == self._hostname or (named is None and self._may_be_named_in(field.raw.lower()))
        return field.name.startswith(NAMESPACE)

    def _may_be_named_in(self, lower: bytes) -> bool:
        """Cheap, and never wrongly no: a backslash in a quoted string can hide our name from a search for it."""
        return self._hostname.encode() in lower or b"\\" in lower

    def _digest(self, listener: str, message_id: bytes) -> str:
        return hmac.new(self._secret, listener.encode() + b"\0" + message_id, hashlib.sha256).hexdigest()[:32]


def _mark(field: Field) -> list[str]:
    """Listener and digest of a loop stamp. What follows them may be the first line of a message that began folded."""
    return [*field.value.split(), "", ""][:2]


def _message_id(block: bytes, lower: bytes) -> bytes:
    start = 0 if lower.startswith(b"message-id:") else lower.find(b"\nmessage-id:") + 1
    if start == 0 and not lower.startswith(b"message-id:"):
        return b""
    end = block.find(b"\r\n", start)
    return block[start + 11 : end if end >= 0 else len(block)].strip()


def _word(text: str) -> str:
    """Text from outside as it may stand in a comment: controls, spaces, parentheses and non-ASCII become `?`."""
    return _UNSAFE.sub("?", text)[:255]


def _address_literal(address: str) -> str:
    if not address:
        return "[unknown]"
    if address == "unix":
        return "local socket"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _protocol(session: Session, envelope: Envelope) -> str:
    """RFC 3848 and RFC 6531 4.3. That somebody has logged in is told, not who."""
    if session.protocol == "lmtp":
        name = "UTF8LMTP" if envelope.parameters.smtputf8 else "LMTP"
    elif not session.esmtp:
        return "SMTP"
    else:
        name = "UTF8SMTP" if envelope.parameters.smtputf8 else "ESMTP"
    return f"{name}{'S' if session.tls else ''}{'A' if session.identity else ''}"


def _tls(session: Session) -> str:
    return f" ({' '.join(filter(None, (session.tls, _word(session.cipher))))})" if session.tls else ""


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, localtime=True)
