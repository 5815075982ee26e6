"""How a connection to a next hop begins: address, connect, greeting, EHLO or LHLO.

Nothing about messages or pooling in here.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from gateway.delivery.commands import Capabilities
from gateway.delivery.connection import Connection, ConnectionBroken, HopReply
from gateway.errors import ConfigError


class NextHopUnavailable(Exception):
    """No transaction can begin there now. The text says what happened, for logs, the trace and `doctor`."""


@dataclass(frozen=True, slots=True)
class HopAddress:
    """Where a next hop listens: `host` and `port`, or `path` of a UNIX socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> HopAddress:
        """Read `host:port`, `[v6]:port` or `unix:/path`. Raises `ConfigError`."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/"):
                raise ConfigError([f"next hop address {text!r}: a UNIX socket needs an absolute path: unix:/run/..."])
            return cls(path=path)
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError([f"next hop address {text!r}: an IPv6 address stands in brackets: [::1]:25"])
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError([f"next hop address {text!r}: expected host:port, [v6]:port or unix:/path"])
        return cls(host, int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def open_connection(address: HopAddress, *, lmtp: bool, helo_name: str, until: float) -> Connection:
    """A connection that is ready for MAIL. Connecting, greeting and EHLO together may last until the loop time `until`.

    Raises `NextHopUnavailable`.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    try:
        async with asyncio.timeout_at(until):
            if address.path:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                await loop.create_connection(lambda: connection, address.host, address.port)
        connection.capabilities = await _greet(connection, lmtp, helo_name, until)
    except (OSError, ConnectionBroken, NextHopUnavailable) as error:
        connection.abort()
        raise NextHopUnavailable(_cause(error)) from error
    except BaseException:
        connection.abort()
        raise
    return connection


async def _greet(connection: Connection, lmtp: bool, helo_name: str, until: float) -> Capabilities:
    banner = await _reply(connection, until)
    if banner.code != 220:
        raise NextHopUnavailable(f"it greeted with {banner.cleaned()}")
    hello = await _ask(connection, "LHLO" if lmtp else "EHLO", helo_name, until)
    if hello.code >= 500 and not lmtp:
        # RFC 5321 3.2: a server that does not know EHLO is spoken to in plain SMTP.
        hello = await _ask(connection, "HELO", helo_name, until)
        if hello.code == 250:
            return Capabilities()
    if hello.code != 250:
        raise NextHopUnavailable(f"it answered {'LHLO' if lmtp else 'EHLO'} with {hello.cleaned()}")
    if connection.leftover:
        raise NextHopUnavailable(f"it said more than was asked: {connection.leftover}")
    return Capabilities.parse(hello.text.split("\n"))


async def _ask(connection: Connection, verb: str, helo_name: str, until: float) -> HopReply:
    if connection.leftover:
        raise NextHopUnavailable(f"it said more than was asked: {connection.leftover}")
    connection.write(f"{verb} {helo_name}\r\n".encode())
    return await _reply(connection, until)


async def _reply(connection: Connection, until: float) -> HopReply:
    # The opening has one time limit as a whole, so no single reply needs one.
    return (await connection.replies(1, until=until))[0]


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not error.errno:
        return "it did not answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error)
