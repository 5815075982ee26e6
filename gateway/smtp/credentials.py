"""What clients say at AUTH as credentials: the mechanisms PLAIN (RFC 4616) and LOGIN. Pure; nothing is looked up here.

No text of an error holds anything that the client said: it may be a password, whatever it was meant to be.
"""

from __future__ import annotations

import binascii

from gateway.mail.envelope import Credentials
from gateway.mail.reply import AUTH_CANCELLED, BAD_AUTH_RESPONSE, BAD_CREDENTIALS
from gateway.smtp.parameters import ArgumentError

MECHANISMS = ("PLAIN", "LOGIN")
MAX_AUTH_LINE = 12_288  # RFC 4954 4, line end included
USER_NAME, PASSWORD = "VXNlcm5hbWU6", "UGFzc3dvcmQ6"


def decoded(line: bytes) -> bytes:
    """One answer of the client. Raises `ArgumentError` when it is cancelled or no base64."""
    if line == b"*":
        raise ArgumentError(AUTH_CANCELLED)
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise ArgumentError(BAD_AUTH_RESPONSE.says("expected base64")) from None


def initial_response(text: str) -> bytes:
    """The answer that came with the command itself; `=` is an empty one (RFC 4954 4). Raises `ArgumentError`."""
    return b"" if text == "=" else decoded(text.encode())


def plain(answer: bytes) -> Credentials:
    """`[authzid] NUL authcid NUL passwd`. Raises `ArgumentError`."""
    parts = answer.split(b"\0")
    if len(parts) != 3:
        raise ArgumentError(BAD_AUTH_RESPONSE.says("PLAIN wants an empty part, the user name and the password"))
    acts_for, user, password = (_text(part) for part in parts)
    if not user or not password:
        raise ArgumentError(BAD_AUTH_RESPONSE.says("PLAIN wants a user name and a password"))
    if acts_for not in ("", user):
        raise ArgumentError(BAD_CREDENTIALS)  # nobody acts for somebody else here
    return Credentials("PLAIN", user, password)


def login(user: bytes, password: bytes) -> Credentials:
    """The two answers of LOGIN. Raises `ArgumentError`."""
    if not user or not password or b"\0" in user + password:
        raise ArgumentError(BAD_AUTH_RESPONSE.says("LOGIN wants a user name and a password"))
    return Credentials("LOGIN", _text(user), _text(password))


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise ArgumentError(BAD_AUTH_RESPONSE.says("expected UTF-8")) from None
