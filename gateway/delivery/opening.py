"""How a connection to a next hop begins: connect, greeting, EHLO or LHLO, STARTTLS, login.

Nothing about messages, pooling or the choice among several addresses in here.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass

from gateway.delivery.addresses import Endpoint
from gateway.delivery.client_tls import ClientTls
from gateway.delivery.commands import Capabilities
from gateway.delivery.connection import Connection, ConnectionBroken, NextHopUnavailable
from gateway.delivery.login import AnyLogin
from gateway.errors import StartupError
from gateway.mail.reply import NEXT_HOP_MISCONFIGURED, NEXT_HOP_WITHOUT_TLS


class TlsFailed(NextHopUnavailable):
    """Encryption was begun and failed, or is required and was not offered."""

    def __init__(self, text: str) -> None:
        super().__init__(text, NEXT_HOP_WITHOUT_TLS)


@dataclass(frozen=True, slots=True)
class Terms:
    """How to begin with a next hop: SMTP or LMTP, under which name, with or without TLS and a login."""

    lmtp: bool
    helo_name: str
    tls: ClientTls | None = None
    login: AnyLogin | None = None


async def open_connection(endpoint: Endpoint, terms: Terms, *, until: float, encrypted: bool = True) -> Connection:
    """A connection that is ready for MAIL. All that it takes may last until the loop time `until`.

    `encrypted` false leaves TLS out where it is not required. Raises `NextHopUnavailable`; `TlsFailed` where it would
    perhaps go without TLS.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    opening = _Opening(connection, endpoint, terms, until)
    try:
        async with asyncio.timeout_at(until):
            if endpoint.at.path:
                await loop.create_unix_connection(lambda: connection, endpoint.at.path)
            else:
                await loop.create_connection(lambda: connection, endpoint.at.host, endpoint.at.port)
        await opening.run(terms.tls if encrypted else None)
    except (OSError, ConnectionBroken) as error:
        connection.abort()
        raise NextHopUnavailable(_cause(error)) from error
    except BaseException:
        connection.abort()
        raise
    return connection


class _Opening:
    """The dialogue from the greeting to the readiness for MAIL."""

    def __init__(self, connection: Connection, endpoint: Endpoint, terms: Terms, until: float) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._terms = terms
        self._until = until

    async def run(self, tls: ClientTls | None) -> None:
        connection = self._connection
        if tls is not None and tls.implicit:
            await self._secure(tls)
        # The opening has one time limit as a whole, so no single reply needs one.
        banner = (await connection.replies(1, until=self._until))[0]
        if banner.code != 220:
            raise NextHopUnavailable(f"it greeted with {banner.cleaned()}")
        connection.capabilities = await self._hello()
        if tls is not None and not tls.implicit:
            await self._start_tls(tls)
        if self._terms.login is not None:
            await self._terms.login.log_in(connection, self._until)
        self._say_where(tls)

    async def _hello(self) -> Capabilities:
        verb, name = "LHLO" if self._terms.lmtp else "EHLO", self._terms.helo_name
        hello = await self._connection.ask(f"{verb} {name}", self._until)
        if hello.code >= 500 and not self._terms.lmtp:
            # RFC 5321 3.2: a server that does not know EHLO is spoken to in plain SMTP.
            hello = await self._connection.ask(f"HELO {name}", self._until)
            if hello.code == 250:
                return Capabilities()
        if hello.code != 250:
            raise NextHopUnavailable(f"it answered {verb} with {hello.cleaned()}")
        self._expect_silence()
        return Capabilities.parse(hello.text.split("\n"))

    async def _start_tls(self, tls: ClientTls) -> None:
        connection = self._connection
        if "STARTTLS" not in connection.capabilities.keywords:
            if tls.required:
                raise TlsFailed('it does not offer STARTTLS, which tls = "required" demands')
            return
        answer = await connection.ask("STARTTLS", self._until)
        if answer.code != 220:
            if tls.required or answer.code == 421:
                raise TlsFailed(f"it answered STARTTLS with {answer.cleaned()}")
            return
        await self._secure(tls)
        try:
            # RFC 3207 4.2: what it said in plain text does not count any more.
            connection.capabilities = await self._hello()
        except (OSError, ConnectionBroken) as error:
            raise TlsFailed(f"TLS broke off: {_cause(error)}") from error

    async def _secure(self, tls: ClientTls) -> None:
        try:
            context = await asyncio.get_running_loop().run_in_executor(None, tls.context)
        except StartupError as error:
            raise NextHopUnavailable(str(error), NEXT_HOP_MISCONFIGURED) from None
        until = self._until
        if not tls.required:  # a handshake that hangs leaves time for doing without
            now = asyncio.get_running_loop().time()
            until = now + (until - now) / 2
        try:
            await self._connection.secure(context, tls.name or self._endpoint.name.host, until)
        except (OSError, ConnectionBroken) as error:
            raise TlsFailed(f"TLS: {_cause(error)}") from error

    def _expect_silence(self) -> None:
        if not self._connection.silent:
            raise NextHopUnavailable(f"it said more than was asked: {self._connection.leftover}")

    def _say_where(self, tls: ClientTls | None) -> None:
        protocol = "lmtp" if self._terms.lmtp else "smtp"
        session = self._connection.tls
        trust = "" if not session or tls is None else ", verified" if tls.required else ", not verified"
        self._connection.label = f"{protocol} {self._endpoint}" + (f" ({session}{trust})" if session else "")


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).replace("_", " ").lower()
    if isinstance(error, TimeoutError) and not error.errno:
        return "it did not answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error)
