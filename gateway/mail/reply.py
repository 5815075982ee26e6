"""SMTP replies: the normative codes of the gateway as named constants, and nothing that sends them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\Z", re.ASCII)  # RFC 3463 2
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|\Z)", re.ASCII)
MAX_TEXT = 400  # keeps a reply line under the 512 octets of RFC 5321 4.5.3.1.5


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: `code` (RFC 5321 4.2), enhanced status code (RFC 3463, may be empty), one line of ASCII text."""

    code: int
    enhanced: str
    text: str

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"reply code {self.code} is outside 200..599")
        if self.enhanced and (not _ENHANCED_CODE.match(self.enhanced) or self.enhanced[0] != str(self.code)[0]):
            raise ValueError(f"enhanced status code {self.enhanced!r} does not fit reply code {self.code}")
        if not (self.text.isascii() and self.text.isprintable()) or len(self.text) > MAX_TEXT:
            object.__setattr__(self, "text", _UNPRINTABLE.sub(" ", self.text).strip()[:MAX_TEXT])

    @classmethod
    def parse(cls, code: int, text: str) -> Reply:
        """A reply as a next hop gave it. Its class and enhanced code are kept, its text is cleaned."""
        text = _UNPRINTABLE.sub(" ", text).strip()
        found = _ENHANCED.match(text)
        if found and found[1][0] == str(code)[0]:
            return cls(code, found[1], text[found.end() :])
        return cls(code, "", text)

    @property
    def is_accept(self) -> bool:
        return self.code < 400

    @property
    def is_temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500

    def says(self, text: str) -> Reply:
        """The same codes with another text."""
        return Reply(self.code, self.enhanced, text)

    @property
    def untagged(self) -> Reply:
        """The reply without the id that `tagged` put behind it."""
        text, bracket, _ = self.text.rpartition(" [")
        return Reply(self.code, self.enhanced, text) if bracket and self.text.endswith("]") else self

    def tagged(self, transaction_id: str) -> Reply:
        """With the transaction id in brackets at its end, so that a log line leads to `stellwerk trace`."""
        mark = f"[{transaction_id}]"
        if self.text.endswith(mark):
            return self
        return Reply(self.code, self.enhanced, f"{self.text[: MAX_TEXT - len(mark) - 1]} {mark}")

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "enhanced": self.enhanced, "text": self.text}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Reply:
        return cls(data["code"], data["enhanced"], data["text"])


# Acceptance
ACCEPTED = Reply(250, "2.0.0", "accepted")
SENDER_OK = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "recipient ok")
FLUSHED = Reply(250, "2.0.0", "flushed")
NOTHING_DONE = Reply(250, "2.0.0", "ok")
GO_AHEAD = Reply(354, "", "end data with <CR><LF>.<CR><LF>")
CHUNK_TAKEN = Reply(250, "2.0.0", "chunk taken")
GOODBYE = Reply(221, "2.0.0", "goodbye")
CANNOT_VERIFY = Reply(252, "2.0.0", "cannot verify, send a message and see")
XFORWARD_OK = Reply(250, "2.0.0", "ok")
TLS_READY = Reply(220, "2.0.0", "ready to start TLS")

# Size and space
TOO_BIG = Reply(552, "5.3.4", "message is too big")
DISK_FULL = Reply(452, "4.3.1", "no space to take the message, try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients, send the rest in another transaction")

TOO_MUCH_MAIL = Reply(450, "4.7.1", "too much mail from your address in a short time, try again later")

# Logging in (RFC 4954) and what may be sent then
LOGGED_IN = Reply(235, "2.7.0", "logged in")
AUTHENTICATION_NEEDED = Reply(530, "5.7.0", "log in first (AUTH)")
BAD_CREDENTIALS = Reply(535, "5.7.8", "user name or password is wrong")
ENCRYPTION_NEEDED = Reply(538, "5.7.11", "AUTH needs encryption: begin TLS first")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "AUTH knows PLAIN and LOGIN")
AUTH_CANCELLED = Reply(501, "5.7.0", "AUTH cancelled")
BAD_AUTH_RESPONSE = Reply(501, "5.5.2", "cannot read this answer to AUTH")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "the answer to AUTH is too long")
CANNOT_CHECK_LOGIN = Reply(454, "4.7.0", "logins cannot be checked now, try again later")
TOO_MANY_FAILED_LOGINS = Reply(454, "4.7.0", "too many failed logins from your address, try again later")
FAILED_TOO_OFTEN = Reply(421, "4.7.0", "too many failed logins")
LOGIN_ENDED = Reply(421, "4.7.0", "your login does not hold any more, log in again")
NOT_YOUR_ADDRESS = Reply(553, "5.7.1", "you may not send from this address")
BAD_FROM = Reply(550, "5.6.0", "the From field of the message cannot be read")

# Recipients and senders
UNKNOWN_USER = Reply(550, "5.1.1", "no such mailbox here")
MAILBOX_DISABLED = Reply(550, "5.2.1", "this mailbox does not take mail")
DOMAIN_SUSPENDED_LATELY = Reply(451, "4.3.0", "mail for this domain is not taken now, try again later")
DOMAIN_SUSPENDED = Reply(550, "5.2.1", "mail for this domain is not taken here")
ADDRESS_LITERAL = Reply(550, "5.1.2", "address literals are not routed here")
BAD_RECIPIENT_DOMAIN = Reply(550, "5.1.2", "the recipient's domain cannot take mail")
NULL_MX_RECIPIENT = Reply(556, "5.1.10", "the recipient's domain takes no mail (null MX)")
BAD_SENDER_DOMAIN = Reply(550, "5.1.8", "the sender's domain cannot take mail")
NULL_MX_SENDER = Reply(550, "5.7.27", "the sender's domain takes no mail (null MX)")
SENDER_DOMAIN_TROUBLE = Reply(450, "4.1.8", "the sender's domain cannot be looked up now")
RECIPIENT_DOMAIN_TROUBLE = Reply(450, "4.1.2", "the recipient's domain cannot be looked up now")
DNS_TROUBLE = Reply(451, "4.4.3", "DNS look-up failed, try again later")
RELAY_DENIED = Reply(550, "5.7.1", "relaying denied")
BAD_ADDRESS = Reply(501, "5.1.3", "malformed address")
BAD_SENDER_ADDRESS = Reply(501, "5.1.7", "malformed sender address")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "this address needs SMTPUTF8")
MAIL_LOOP = Reply(554, "5.4.6", "mail loop")

# Content
BARE_NEWLINE = Reply(550, "5.6.0", "bare CR, LF or NUL in the message")
LINE_TOO_LONG = Reply(500, "5.6.0", "a line of the message is too long")

# Trouble on our side or at the next hop: never the sender's fault
SPOOL_DOWN = Reply(451, "4.3.0", "the message cannot be kept here for now, try again later")
STORE_DOWN = Reply(451, "4.3.0", "the store is not available, try again later")
PLUGIN_FAILED = Reply(451, "4.3.0", "local processing failed, try again later")
STILL_BEING_DELIVERED = Reply(451, "4.3.0", "still being delivered, try again later")
INTERNAL_ERROR = Reply(451, "4.3.0", "local error, try again later")
NEXT_HOP_DOWN = Reply(451, "4.4.1", "the next hop does not answer, try again later")
NEXT_HOP_BROKE_OFF = Reply(451, "4.4.2", "the next hop broke off or was too slow, try again later")
NEXT_HOP_WITHOUT_TLS = Reply(451, "4.7.5", "no trusted encryption with the next hop, try again later")
NEXT_HOP_MISCONFIGURED = Reply(451, "4.3.5", "local configuration error, try again later")
DEADLINE_PASSED = Reply(451, "4.4.2", "not finished in time, try again later")

# Session
SHUTTING_DOWN = Reply(421, "4.3.2", "shutting down, try again later")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors")
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "too many connections")
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "too many commands without mail")
TOO_SLOW = Reply(421, "4.4.2", "too slow")
TALK_BEFORE_BANNER = Reply(554, "5.5.0", "you spoke before the greeting")
NOT_A_MAIL_CLIENT = Reply(221, "2.7.0", "this is a mail server")
NOT_ALLOWED_HERE = Reply(554, "5.7.1", "this port is for the mail server beside the gateway only")

# Command syntax and order (RFC 5321 4.2.4, RFC 3463 X.5)
SYNTAX_ERROR = Reply(500, "5.5.2", "syntax error")
LINE_TOO_LONG_COMMAND = Reply(500, "5.5.2", "command line too long")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "command not implemented")
BAD_SEQUENCE = Reply(503, "5.5.1", "bad sequence of commands")
CHUNKS_REFUSED = Reply(503, "5.5.1", "an earlier chunk of this message was refused")
BAD_ARGUMENT = Reply(501, "5.5.4", "bad argument")
BAD_PARAMETER = Reply(555, "5.5.4", "parameter not recognised or not supported")
NO_VALID_RECIPIENTS = Reply(554, "5.5.1", "no valid recipients")
XFORWARD_DENIED = Reply(550, "5.7.0", "XFORWARD is not for this client")
XCLIENT_DENIED = Reply(550, "5.7.0", "XCLIENT is not for this client")
TLS_NEEDED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
