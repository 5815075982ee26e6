"""One question to one DNS server, over UDP and, when the answer does not fit, over TCP; no retries, no meaning.

dnspython's asyncquery is not used for this: its UDP socket is not connected, so the ICMP "port unreachable" of a
server that is down never arrives and costs a whole time-out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message

from gateway.dns.answers import Trouble
from gateway.errors import StartupError

DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Nameserver:
    """Where to ask: an IP address and a port."""

    host: str
    port: int = DNS_PORT

    @classmethod
    def parse(cls, text: str) -> Nameserver:
        """Read `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`. Raises `ValueError`."""
        host, port = text.strip(), str(DNS_PORT)
        if host.startswith("["):
            host, bracket, rest = host[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise _not_a_server(text)
            port = rest[1:] or port
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        try:
            ipaddress.ip_address(host)
            number = int(port)
        except ValueError:
            raise _not_a_server(text) from None
        if not 0 < number < 65536:
            raise _not_a_server(text)
        return cls(host, number)

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _not_a_server(text: str) -> ValueError:
    return ValueError(f"'{text}' is not a DNS server; write an IP address with or without a port, like 127.0.0.1:53")


def system_nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[Nameserver, ...]:
    """The servers of resolv.conf(5). Raises `StartupError` when it names none."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise StartupError(
            f"cannot read {path} ({error.strerror}): name the DNS servers in the configuration"
        ) from None
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(Nameserver.parse(words[1]))
            except ValueError:
                continue
    if not found:
        raise StartupError(f"{path} names no DNS server: add a nameserver line or name one in the configuration")
    return tuple(found)


class ExchangeError(Exception):
    """The server gave no usable response; `trouble` says why."""

    def __init__(self, trouble: Trouble, words: str) -> None:
        super().__init__(words)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Response:
    message: dns.message.Message
    octets: int
    over_tcp: bool


async def exchange(query: dns.message.Message, server: Nameserver, try_seconds: float) -> Response:
    """Ask over UDP; a truncated answer is asked for again over TCP, with `try_seconds` for each.

    Every query has its own socket, so that its source port is random (RFC 5452 9.2). Raises `ExchangeError`.
    """
    wire = query.to_wire()
    try:
        async with asyncio.timeout(try_seconds):
            response = await _ask_udp(query, wire, server)
    except TimeoutError:
        raise ExchangeError(Trouble.TIMEOUT, f"{server} did not answer within {try_seconds:g} s") from None
    except OSError as error:
        raise ExchangeError(Trouble.UNREACHABLE, f"{server} is not reachable: {_os_words(error)}") from None
    return response if response is not None else await exchange_over_tcp(query, server, try_seconds)


async def exchange_over_tcp(query: dns.message.Message, server: Nameserver, try_seconds: float) -> Response:
    """Ask over TCP alone, where only who is on the path could answer for the server. Raises `ExchangeError`."""
    try:
        async with asyncio.timeout(try_seconds):
            return await _ask_tcp(query, query.to_wire(), server)
    except TimeoutError:
        raise ExchangeError(Trouble.TIMEOUT, f"{server} did not answer over TCP within {try_seconds:g} s") from None
    except (OSError, EOFError) as error:
        raise ExchangeError(Trouble.UNREACHABLE, f"{server} does not answer over TCP: {_os_words(error)}") from None


def _os_words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "the connection was closed"


class _UdpQuestion(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers; whatever else arrives may be a forgery and is passed over."""

    def __init__(self, query: dns.message.Message, answer: asyncio.Future[Response | None]) -> None:
        self._query = query
        self._answer = answer

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._answer.done():
            return
        try:
            message = dns.message.from_wire(data, raise_on_truncation=True)
        except dns.message.Truncated as error:
            if self._query.is_response(error.message()):  # type: ignore[no-untyped-call]
                self._answer.set_result(None)
            return
        except (dns.exception.DNSException, ValueError):
            return
        if self._query.is_response(message):
            self._answer.set_result(Response(message, len(data), over_tcp=False))

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer.done():
            return
        if exc is None:
            self._answer.cancel()
        else:
            self._answer.set_exception(exc)


async def _ask_udp(query: dns.message.Message, wire: bytes, server: Nameserver) -> Response | None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Response | None] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _UdpQuestion(query, answer), remote_addr=(server.host, server.port)
    )
    try:
        transport.sendto(wire)
        return await answer
    finally:
        transport.close()


async def octets_over_tcp(wire: bytes, server: Nameserver) -> bytes:
    """What the server sends back on a connection of its own, whatever it is. Raises `OSError`, `EOFError`."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(struct.pack("!H", len(wire)) + wire)
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(size)
    finally:
        writer.transport.abort()


async def _ask_tcp(query: dns.message.Message, wire: bytes, server: Nameserver) -> Response:
    data = await octets_over_tcp(wire, server)
    try:
        message = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        raise ExchangeError(Trouble.MALFORMED, f"{server} sent something that is no DNS message") from None
    if not query.is_response(message):
        raise ExchangeError(Trouble.MALFORMED, f"{server} answered another question")
    return Response(message, len(data), over_tcp=True)
