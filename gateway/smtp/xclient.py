"""XCLIENT: a trusted mail server speaks in the name of a client of its own (Postfix XCLIENT_README).

What the values may hold is as for XFORWARD: they go into Received, the trace and the console.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.mail.envelope import Client, Session
from gateway.mail.reply import BAD_ARGUMENT
from gateway.smtp.limits import TrustedPeers
from gateway.smtp.parameters import ArgumentError
from gateway.smtp.xforward import clean_value

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
_CHECKED_AS = {"DESTADDR": "ADDR", "DESTPORT": "PORT"}


def read_xclient(argument: str) -> dict[str, str]:
    """The attributes of one XCLIENT command, decoded and clean, unavailable ones empty. Raises `ArgumentError`."""
    values: dict[str, str] = {}
    for word in argument.split():
        name, equals, value = word.partition("=")
        name = name.upper()
        if name not in ATTRIBUTES or not equals:
            raise ArgumentError(BAD_ARGUMENT.says(f"XCLIENT knows {' '.join(ATTRIBUTES)}"))
        values[name] = clean_value("XCLIENT", name, value, kind=_CHECKED_AS.get(name, name))
        if name == "PROTO" and values[name].upper() not in ("", "SMTP", "ESMTP"):
            raise ArgumentError(BAD_ARGUMENT.says("XCLIENT PROTO is SMTP or ESMTP"))
    if not values:
        raise ArgumentError(BAD_ARGUMENT.says("XCLIENT wants attributes"))
    return values


def impersonated(session: Session, values: Mapping[str, str], trusted: TrustedPeers) -> Session:
    """The session of the client that `values` describe; what they leave out is as it was.

    `trusted`: the addresses that are trusted. The new client is so by its own address and not by that of the peer,
    who said which mail comes from outside: mail from there must meet what it would meet if it came directly.
    """
    old = session.client
    address = values.get("ADDR", old.address)
    client = Client(
        address=address,
        port=int(values["PORT"] or 0) if "PORT" in values else old.port,
        name=values.get("NAME", old.name),
        helo=values.get("HELO", ""),
        protocol=values.get("PROTO", "").upper(),
        forwarded=True,
        login=values.get("LOGIN", old.login),
    )
    return replace(
        session,
        client=client,
        trusted=bool(address) and address in trusted,
        helo="",
        esmtp=True,
        destination=_destination(values) or session.destination,
        identity=None,
        tags={},
    )


def _destination(values: Mapping[str, str]) -> str:
    address, port = values.get("DESTADDR", ""), values.get("DESTPORT", "")
    if not address:
        return ""
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port}" if port else host
