"""AUTH at a next hop that asks for a login (RFC 4954): PLAIN, else LOGIN. The password is read when it is needed.

It is in no text that anybody sees.
"""

from __future__ import annotations

import asyncio
import os
import stat
from abc import ABC, abstractmethod
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from gateway.delivery.connection import Connection, HopReply, NextHopUnavailable
from gateway.errors import StartupError
from gateway.mail.reply import NEXT_HOP_DOWN, NEXT_HOP_MISCONFIGURED

_ACCEPTED = 235
_GO_ON = 334
MAX_PASSWORD_BYTES = 4096


class LoginRefused(NextHopUnavailable):
    """The hop does not know us: our configuration's fault, never the sender's. Not to be tried again at once."""

    def __init__(self, text: str) -> None:
        super().__init__(text, NEXT_HOP_MISCONFIGURED)


class AnyLogin(ABC):
    """The dialogue; where the password comes from differs."""

    user: str
    in_plain_text: bool

    @abstractmethod
    def password(self) -> str:
        """In a thread: may read the disk. Raises `StartupError`."""

    async def log_in(self, connection: Connection, until: float) -> None:
        """Say who we are, before any mail. Raises `LoginRefused`, `NextHopUnavailable`, `ConnectionBroken`."""
        if not (connection.tls or connection.peer_is_local or self.in_plain_text):
            raise LoginRefused("it offers no TLS, without which the password is not sent")
        offered = connection.capabilities.keywords.get("AUTH", "").upper().split()
        if not {"PLAIN", "LOGIN"} & set(offered):
            what = f"only AUTH {' '.join(offered)}" if offered else "no AUTH"
            raise LoginRefused(f"it offers {what}; a login needs PLAIN or LOGIN")
        try:
            password = await asyncio.get_running_loop().run_in_executor(None, self.password)
        except StartupError as error:
            raise LoginRefused(str(error)) from None
        if "PLAIN" in offered:
            reply = await connection.ask(f"AUTH PLAIN {self._plain(password)}", until)
        else:
            reply = await connection.ask("AUTH LOGIN", until)
            for answer in (self.user, password):
                if reply.code == _GO_ON:
                    reply = await connection.ask(_coded(answer), until)
        if reply.code != _ACCEPTED:
            raise self._refusal(reply, password)

    def _plain(self, password: str) -> str:
        return _coded(f"\0{self.user}\0{password}")

    def _refusal(self, reply: HopReply, password: str) -> NextHopUnavailable:
        text = reply.text
        for secret in (password, _coded(password), self._plain(password)):
            text = text.replace(secret, "(password)")  # some hops repeat what they did not like
        text = f"it does not let user {self.user!r} in: {HopReply(reply.code, text).cleaned()}"
        return NextHopUnavailable(text, NEXT_HOP_DOWN) if 400 <= reply.code < 500 else LoginRefused(text)


@dataclass(frozen=True, slots=True)
class Login(AnyLogin):
    """Who we are at a next hop. `in_plain_text` lets the password leave this machine without TLS."""

    user: str
    password_file: Path
    in_plain_text: bool = False

    def password(self) -> str:
        """The file's first and only line. Reads the disk. Raises `StartupError` for a file that is none of ours."""
        path = self.password_file
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(MAX_PASSWORD_BYTES)
        except OSError as error:
            raise StartupError(
                f"password_file: {path}: {error.strerror}; the worker's user must be able to read it"
            ) from None
        if mode & 0o077:
            raise StartupError(f"password_file: {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
        try:
            password = content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            password = ""
        if not password or "\n" in password or "\0" in password:
            raise StartupError(f"password_file: {path} must hold the password on one line of UTF-8, and nothing else")
        return password


@dataclass(frozen=True, slots=True)
class GivenLogin(AnyLogin):
    """As `Login`, with a password that somebody else keeps."""

    user: str
    given: str = field(repr=False)
    in_plain_text: bool = False

    def password(self) -> str:
        return self.given


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()
