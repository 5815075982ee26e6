"""XFORWARD: what a trusted mail server says about the client it has the message from (Postfix XFORWARD_README).

Its values go into Received, the trace and the console: they leave here without control characters and cut to size.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from gateway.mail.envelope import Client
from gateway.mail.reply import BAD_ARGUMENT
from gateway.smtp.parameters import ArgumentError
from gateway.smtp.xtext import decode_xtext

ATTRIBUTES = ("NAME", "ADDR", "PROTO", "HELO", "IDENT", "PORT", "SOURCE")
MAX_VALUE = 255  # as Postfix cuts them
_UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]")


def read_xforward(argument: str) -> dict[str, str]:
    """The attributes of one XFORWARD command, decoded and clean, unavailable ones empty. Raises `ArgumentError`."""
    values: dict[str, str] = {}
    for word in argument.split():
        name, equals, value = word.partition("=")
        name = name.upper()
        if name not in ATTRIBUTES or not equals:
            raise ArgumentError(BAD_ARGUMENT.says(f"XFORWARD knows {' '.join(ATTRIBUTES)}"))
        values[name] = clean_value("XFORWARD", name, value, kind=name)
    if not values:
        raise ArgumentError(BAD_ARGUMENT.says("XFORWARD wants attributes"))
    return values


def forwarded_client(values: Mapping[str, str]) -> Client:
    """The client that the attributes of one or more XFORWARD commands describe."""
    return Client(
        address=values.get("ADDR", ""),
        port=int(values.get("PORT") or 0),
        name=values.get("NAME", ""),
        helo=values.get("HELO", ""),
        protocol=values.get("PROTO", ""),
        ident=values.get("IDENT", ""),
        source=values.get("SOURCE", ""),
        forwarded=True,
    )


def clean_value(command: str, name: str, value: str, *, kind: str) -> str:
    """One xtext value of XFORWARD or XCLIENT, decoded, clean and cut; empty when it is said to be unknown.

    `kind`: the attribute of XFORWARD whose syntax it has. Raises `ArgumentError`.
    """
    if value.upper() in _UNKNOWN:
        return ""
    text = _UNSAFE.sub("?", decode_xtext(value))[:MAX_VALUE]
    if kind == "ADDR":
        try:
            return str(ipaddress.ip_address(text[5:] if text[:5].upper() == "IPV6:" else text))
        except ValueError:
            raise ArgumentError(BAD_ARGUMENT.says(f"{command} {name} wants an IP address")) from None
    if kind == "PORT" and not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ArgumentError(BAD_ARGUMENT.says(f"{command} {name} wants a port number"))
    if kind == "SOURCE":
        text = text.upper()
        if text not in ("LOCAL", "REMOTE"):
            raise ArgumentError(BAD_ARGUMENT.says("XFORWARD SOURCE is LOCAL or REMOTE"))
    return text
