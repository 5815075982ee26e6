"""The command lines of one SMTP or LMTP transaction, as text that fits what the next hop offers.

Pure: no sockets, no waiting. What the hop's replies mean is decided in transaction.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType

from gateway.delivery.transport import Batch, Copy
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import Client
from gateway.mail.reply import BAD_ADDRESS, NEEDS_SMTPUTF8, TOO_BIG, Reply

UNAVAILABLE = "[UNAVAILABLE]"
MAX_XFORWARD_VALUE = 255  # Postfix refuses the whole command above this
_XFORWARD_ORDER = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
_XFORWARD_FIRST = frozenset({"NAME", "ADDR", "PORT"})
_XTEXT_PLAIN = re.compile(r"[!-*,-<>-~]*\Z")
_HOST_NAME = re.compile(r"(?=.{1,255}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.(?!\Z)|\Z))+\Z")
_PARAMETER = re.compile(r"[!-~]{1,500}\Z")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a next hop said to EHLO or LHLO.

    `size` is its limit in octets (RFC 1870): 0 when it names none, None when it does not offer SIZE. `xforward` lists
    the attributes it takes, in the order they are sent.
    """

    keywords: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    pipelining: bool = False
    size: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    chunking: bool = False
    xforward: tuple[str, ...] = ()

    @classmethod
    def parse(cls, lines: list[str]) -> Capabilities:
        """From the lines of the reply to EHLO, without their codes; the first is the greeting (RFC 5321 4.1.1.1)."""
        keywords: dict[str, str] = {}
        for line in lines[1:]:
            keyword, _, parameters = line.strip().partition(" ")
            keywords[keyword.upper()] = parameters.strip()
        offered = keywords.get("XFORWARD", "").upper().split()
        limit = keywords.get("SIZE", "0")
        return cls(
            keywords=MappingProxyType(keywords),
            pipelining="PIPELINING" in keywords,
            size=None if "SIZE" not in keywords else int(limit) if limit.isdecimal() and len(limit) < 20 else 0,
            eight_bit="8BITMIME" in keywords,
            smtputf8="SMTPUTF8" in keywords,
            dsn="DSN" in keywords,
            chunking="CHUNKING" in keywords,
            xforward=tuple(name for name in _XFORWARD_ORDER if name in offered),
        )


class CannotSend(Exception):
    """This batch can never go to a hop with these capabilities. `reply` is the refusal for all its copies."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Envelope:
    """The commands of a transaction in order: `preamble` of them (RSET, XFORWARD), MAIL, one RCPT a copy, and DATA
    unless BDAT will follow."""

    wire: bytes
    count: int
    preamble: int
    has_data: bool

    def lines(self) -> list[bytes]:
        """One command each, with its CRLF."""
        return self.wire.splitlines(keepends=True)


def envelope(batch: Batch, offered: Capabilities, *, reset: bool, xforward: bool, data: bool = True) -> Envelope:
    """The commands for `batch`; `data` false leaves DATA out, for BDAT.

    Raises `CannotSend` when the hop's SIZE or a missing SMTPUTF8 rules it out.
    """
    lines = ["RSET"] if reset else []
    if xforward and batch.client is not None and offered.xforward:
        lines += _xforward(batch.client, offered.xforward)
    preamble = len(lines)
    lines.append(_mail(batch, offered))
    lines += [_rcpt(copy, offered) for copy in batch.copies]
    if data:
        lines.append("DATA")
    count = len(lines)
    lines.append("")
    try:
        wire = "\r\n".join(lines).encode()
    except UnicodeEncodeError:
        raise CannotSend(BAD_ADDRESS) from None
    # The lines carry text from outside: one that would be two commands must never be written.
    if wire.count(b"\n") != count or wire.count(b"\r") != count or b"\0" in wire:
        raise CannotSend(BAD_ADDRESS)
    return Envelope(wire, count, preamble, data)


def _mail(batch: Batch, offered: Capabilities) -> str:
    line = f"MAIL FROM:<{'' if batch.sender is None else batch.sender}>"
    if offered.size is not None:
        size = batch.edits.length(batch.body)
        if 0 < offered.size < size:
            raise CannotSend(
                TOO_BIG.says(f"message of {size} bytes is too big for the next hop ({offered.size} bytes)")
            )
        line += f" SIZE={size}"
    if offered.eight_bit and _may_hold_eight_bit(batch):
        line += " BODY=8BITMIME"
    if needs_smtputf8(batch):
        if not offered.smtputf8:
            raise CannotSend(NEEDS_SMTPUTF8.says("this mail needs SMTPUTF8, which the next hop does not offer"))
        line += " SMTPUTF8"
    elif batch.smtputf8 and offered.smtputf8:
        line += " SMTPUTF8"
    if offered.dsn:
        if batch.ret in {"FULL", "HDRS"}:
            line += f" RET={batch.ret}"
        if _PARAMETER.match(batch.envid):
            line += f" ENVID={batch.envid}"
    return line


def _rcpt(copy: Copy, offered: Capabilities) -> str:
    line = f"RCPT TO:<{copy.to}>"
    if offered.dsn:
        if copy.notify:
            line += f" NOTIFY={','.join(copy.notify)}"
        if _PARAMETER.match(copy.orcpt):
            line += f" ORCPT={copy.orcpt}"
    return line


def needs_smtputf8(batch: Batch) -> bool:
    """Whether the mail can only travel under SMTPUTF8: an address in the envelope, or a header declared as such."""
    if batch.sender is not None and not batch.sender.is_ascii:
        return True
    for copy in batch.copies:
        if not copy.to.is_ascii:
            return True
    return batch.smtputf8 and not (batch.body.header_block.isascii() and batch.edits.head.isascii())


def _may_hold_eight_bit(batch: Batch) -> bool:
    """Undeclared 8-bit mail travels as 8BITMIME. A spilled body is not read a second time just to find out."""
    if batch.body_type == "8BITMIME":
        return True
    if isinstance(batch.body, MemoryBody):
        return not batch.body.read(0, len(batch.body)).isascii()
    return batch.body_type != "7BIT"


def xtext(text: str) -> str:
    """`text` coded by RFC 3461 section 4; non-ASCII as UTF-8 octets."""
    if _XTEXT_PLAIN.match(text):
        return text
    return "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet not in b"+=" else f"+{octet:02X}"
        for octet in text.encode("utf-8", "replace")
    )


def xforward_lines(client: Client, attributes: tuple[str, ...]) -> list[str]:
    """XFORWARD with every attribute the hop takes, in the two commands that Postfix makes of it.

    All of them are sent, unknown ones as `[UNAVAILABLE]`, so that nothing of an earlier client stays behind. SOURCE is
    always said, for without it a Postfix rewrites the headers of remote mail as if it were local; and it stands in
    another command than what the hop may find wrong with a name or an address.
    """
    values = {
        "NAME": client.name if _HOST_NAME.match(client.name) else "",
        "ADDR": _xforward_address(client.address),
        "PORT": str(client.port) if client.port else "",
        "PROTO": client.protocol,
        "HELO": client.helo,
        "IDENT": client.ident,
        "SOURCE": "LOCAL" if client.source == "LOCAL" else "REMOTE",
    }
    pairs = [f"{name}={_xforward_value(values[name])}" for name in attributes]
    first = sum(name in _XFORWARD_FIRST for name in attributes)
    return [" ".join(["XFORWARD", *half]) for half in (pairs[:first], pairs[first:]) if half]


# A connection's client stays the same for all its messages.
@lru_cache(maxsize=1024)
def _xforward(client: Client, attributes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(xforward_lines(client, attributes))


def _xforward_value(text: str) -> str:
    coded = xtext(text) if text else UNAVAILABLE
    return coded if len(coded) <= MAX_XFORWARD_VALUE else UNAVAILABLE


@lru_cache(maxsize=1024)
def _xforward_address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return f"IPV6:{address}" if isinstance(address, IPv6Address) else str(address)
