"""The arguments of EHLO, MAIL and RCPT as typed values. Pure: decides about syntax, never about policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gateway.mail.address import Address, AddressError
from gateway.mail.envelope import MailParameters, Recipient
from gateway.mail.path import PathError, path_address, recipient_address
from gateway.mail.reply import (
    BAD_ADDRESS,
    BAD_ARGUMENT,
    BAD_PARAMETER,
    BAD_SENDER_ADDRESS,
    NEEDS_SMTPUTF8,
    Reply,
)
from gateway.smtp.xtext import XTEXT, decode_xtext

# Possessive, so that a crafted path of 2,000 quotes costs no more than any other.
_PATH = re.compile(r' ?<((?:"(?:[^"\\]|\\.)*+"|[^<>"\\])*+)>(?: +(.*))?\Z', re.DOTALL)
# A domain or an address literal; the underscore is wrong and common (Windows names).
_HELO = re.compile(r"[A-Za-z0-9._-]{1,255}\Z|\[[A-Za-z0-9.:_-]{1,253}\]\Z")
_ORCPT = re.compile(rf"[A-Za-z0-9-]+;(?:{XTEXT}|[\u0080-\U0010ffff])+\Z")
_ENVID = re.compile(rf"{XTEXT}+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")

MAX_ENVID = 100  # RFC 3461 4.4
MAX_ORCPT = 500  # RFC 3461 4.2
MAX_SIZE_DIGITS = 20  # RFC 1870 3
_NOTIFY = {"SUCCESS", "FAILURE", "DELAY"}


class ArgumentError(Exception):
    """The argument of a command is wrong; `reply` says how."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def read_helo(argument: str) -> str:
    """The name a client gives itself (RFC 5321 4.1.1.1). Raises `ArgumentError`."""
    if not _HELO.match(argument):
        raise ArgumentError(BAD_ARGUMENT.says("expected a host name or an address literal"))
    return argument


def read_mail(argument: str, *, ignores_auth: bool = False) -> tuple[Address | None, MailParameters]:
    """`FROM:<path> parameters` as the sender (None is the null sender) and its parameters. Raises `ArgumentError`.

    `ignores_auth`: AUTH=... is accepted and means nothing (RFC 4954 5). Where people log in it is said by programs that
    relay for others, and nobody is trusted for that here; on proxy listeners it was said to the mail server in front.
    """
    path, words = _path_and_parameters(argument, "FROM:", BAD_SENDER_ADDRESS)
    parameters = _mail_parameters(words, _AUTH if ignores_auth else frozenset()) if words else _NO_PARAMETERS
    if not path:
        return None, parameters
    if not parameters.smtputf8 and not path.isascii():
        raise ArgumentError(NEEDS_SMTPUTF8)
    try:
        return _address(path), parameters
    except AddressError as error:
        raise ArgumentError(BAD_SENDER_ADDRESS.says(f"malformed sender address: {error}")) from None


@lru_cache(maxsize=1024)
def read_rcpt(argument: str, smtputf8: bool, hostname: str) -> Recipient:
    """`TO:<path> parameters` as a recipient. Raises `ArgumentError`.

    `smtputf8`: whether MAIL asked for it. `hostname`: the domain of `<postmaster>`, the one address without a domain
    that RFC 5321 4.5.1 wants.
    """
    path, words = _path_and_parameters(argument, "TO:", BAD_ADDRESS)
    if not smtputf8 and not path.isascii():
        raise ArgumentError(NEEDS_SMTPUTF8)
    try:
        address = _recipient_address(path, hostname)
    except PathError as error:
        raise ArgumentError(error.reply) from None
    return _recipient(address, words, smtputf8) if words else Recipient(address)


_address = lru_cache(maxsize=1024)(path_address)
_recipient_address = lru_cache(maxsize=1024)(recipient_address)


def _path_and_parameters(argument: str, keyword: str, malformed: Reply) -> tuple[str, list[str]]:
    if argument[: len(keyword)].upper() != keyword:
        raise ArgumentError(BAD_ARGUMENT.says(f"expected {keyword}<address>"))
    found = _PATH.match(argument, len(keyword))
    if found is None:
        raise ArgumentError(malformed)
    return found[1], found[2].split() if found[2] else []


_NO_PARAMETERS = MailParameters()
_AUTH = frozenset({"AUTH"})


def _mail_parameters(words: list[str], ignored: frozenset[str]) -> MailParameters:
    values: dict[str, Any] = {}
    for keyword, value in _keywords(words).items():
        if keyword in ignored:
            continue
        read = _MAIL_PARAMETERS.get(keyword)
        if read is None:
            raise ArgumentError(BAD_PARAMETER)
        values[keyword.lower()] = read(value)
    return MailParameters(**values)


def _size(value: str | None) -> int:
    if not value or len(value) > MAX_SIZE_DIGITS or not (value.isascii() and value.isdigit()):
        raise ArgumentError(BAD_ARGUMENT.says("SIZE wants a number of octets"))
    return int(value)


def _body(value: str | None) -> str:
    body = (value or "").upper()
    if body not in ("7BIT", "8BITMIME"):
        raise ArgumentError(BAD_PARAMETER.says("BODY is 7BIT or 8BITMIME here"))
    return body


def _smtputf8(value: str | None) -> bool:
    if value is not None:
        raise ArgumentError(BAD_ARGUMENT.says("SMTPUTF8 takes no value"))
    return True


def _ret(value: str | None) -> str:
    ret = (value or "").upper()
    if ret not in ("FULL", "HDRS"):
        raise ArgumentError(BAD_ARGUMENT.says("RET is FULL or HDRS"))
    return ret


def _envid(value: str | None) -> str:
    if not value or len(value) > MAX_ENVID or not _ENVID.match(value):
        raise ArgumentError(BAD_ARGUMENT.says(f"ENVID wants up to {MAX_ENVID} characters of xtext"))
    if _CONTROL.search(decode_xtext(value)):
        raise ArgumentError(BAD_PARAMETER.says("ENVID holds control characters"))
    return value


_MAIL_PARAMETERS: dict[str, Callable[[str | None], Any]] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _smtputf8,
    "RET": _ret,
    "ENVID": _envid,
}


def _recipient(address: Address, words: list[str], smtputf8: bool) -> Recipient:
    values = _keywords(words)
    notify = _notify(values.pop("NOTIFY")) if "NOTIFY" in values else ()
    orcpt = _orcpt(values.pop("ORCPT"), smtputf8) if "ORCPT" in values else ""
    if values:
        raise ArgumentError(BAD_PARAMETER)
    return Recipient(address, notify, orcpt)


def _notify(value: str | None) -> tuple[str, ...]:
    notify = tuple((value or "").upper().split(","))
    if notify != ("NEVER",) and not (_NOTIFY.issuperset(notify) and len(set(notify)) == len(notify)):
        raise ArgumentError(BAD_ARGUMENT.says("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY"))
    return notify


def _orcpt(value: str | None, smtputf8: bool) -> str:
    if not value or len(value) > MAX_ORCPT or not _ORCPT.match(value) or not (smtputf8 or value.isascii()):
        raise ArgumentError(BAD_ARGUMENT.says(f"ORCPT wants a type, a semicolon, xtext; up to {MAX_ORCPT} octets"))
    if _CONTROL.search(decode_xtext(value)):
        raise ArgumentError(BAD_PARAMETER.says("ORCPT holds control characters"))
    return value


def _keywords(words: list[str]) -> dict[str, str | None]:
    """RFC 5321 4.1.2 esmtp-params; None for a keyword without a value."""
    values: dict[str, str | None] = {}
    for word in words:
        keyword, equals, value = word.partition("=")
        if not _KEYWORD.match(keyword):
            raise ArgumentError(BAD_PARAMETER)
        keyword = keyword.upper()
        if keyword in values:
            raise ArgumentError(BAD_ARGUMENT.says(f"{keyword[:40]} is given twice"))
        values[keyword] = value if equals else None
    return values
