"""The header by which a load balancer names its client: the PROXY protocol, versions 1 and 2 (HAProxy's specification).

It is read from the bare socket and not an octet further: what follows belongs to SMTP or to a TLS handshake.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"  # of version 2, specification 2.2
PREFIX = b"PROXY "  # of version 1, 2.1
HEADER_SECONDS = 3.0
MAX_V1 = 107  # 2.1: the longest line, its CR LF included
MAX_V2 = 4096  # of the part behind the length: addresses take 216 octets at most, and haproxy's extensions some hundred
_FIXED_V2 = 16
_SHORTEST_V1 = len(b"PROXY UNKNOWN\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_OCTETS = {_TCP4: 4, _TCP6: 16}
_LINE = re.compile(rb"PROXY (TCP[46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (\d{1,5}) (\d{1,5})\r\n")
_UNKNOWN_LINE = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")


class ProxyHeaderError(Exception):
    """There is no header, or it is malformed. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Whom the balancer speaks for, and where that client connected to. All empty when it speaks for itself."""

    address: str = ""
    port: int = 0
    destination: str = ""


def missing(start: bytes) -> int:
    """How many octets can be read behind `start` without reading further than the header; 0 when it is complete.

    Raises `ProxyHeaderError` as soon as `start` cannot be the start of a header.
    """
    if not start:
        return _SHORTEST_V1
    if len(start) < _FIXED_V2 and SIGNATURE.startswith(start[: len(SIGNATURE)]):
        return _FIXED_V2 - len(start)
    if start.startswith(SIGNATURE):
        length = int.from_bytes(start[14:16], "big")
        if length > MAX_V2:
            raise ProxyHeaderError(f"version 2 announces {length} octets, at most {MAX_V2} are taken")
        return _FIXED_V2 + length - len(start)
    if not PREFIX.startswith(start[: len(PREFIX)]):
        raise ProxyHeaderError("no PROXY header")
    line_end = start.find(b"\n") + 1
    if len(start) > MAX_V1 or (not line_end and len(start) == MAX_V1):
        raise ProxyHeaderError("version 1 is too long")
    if line_end:
        return 0
    return max(1, _SHORTEST_V1 - len(start))


def read_header(raw: bytes) -> ProxyHeader:
    """A complete header. Raises `ProxyHeaderError`."""
    return _read_v2(raw) if raw.startswith(SIGNATURE) else _read_v1(raw)


def begins_header(text: bytes) -> bool:
    """Whether a second header begins here."""
    return text.startswith((PREFIX, SIGNATURE[:5]))


async def receive_header(connection: socket.socket) -> ProxyHeader:
    """The header that a new connection begins with. Raises `ProxyHeaderError`, `OSError`, `TimeoutError`."""
    loop = asyncio.get_running_loop()
    raw = b""
    async with asyncio.timeout(HEADER_SECONDS):
        while wanted := missing(raw):
            block = _line_at_hand(connection) if raw.startswith(PREFIX) else b""
            block = block or await loop.sock_recv(connection, wanted)
            if not block:
                raise ProxyHeaderError("closed before the header was complete")
            raw += block
    return read_header(raw)


def _line_at_hand(connection: socket.socket) -> bytes:
    """What is here of the rest of a line, at once instead of octet by octet."""
    try:
        seen = connection.recv(MAX_V1, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
    end = seen.find(b"\n") + 1
    return connection.recv(end or len(seen))


def _read_v1(raw: bytes) -> ProxyHeader:
    if _UNKNOWN_LINE.fullmatch(raw):
        return ProxyHeader()
    found = _LINE.fullmatch(raw)
    if found is None:
        raise ProxyHeaderError("version 1 is malformed")
    family, source, destination, *ports = (group.decode("ascii") for group in found.groups())
    source_port, destination_port = (int(port) for port in ports)
    if max(source_port, destination_port) > 65535:
        raise ProxyHeaderError("version 1 has a malformed port")
    try:
        addresses = [ipaddress.ip_address(text) for text in (source, destination)]
    except ValueError:
        raise ProxyHeaderError("version 1 has a malformed address") from None
    if any(str(address.version) != family[-1] for address in addresses):
        raise ProxyHeaderError("version 1 has an address of another family")
    return ProxyHeader(_plain(addresses[0]), source_port, _with_port(addresses[1], destination_port))


def _read_v2(raw: bytes) -> ProxyHeader:
    command, family = raw[12], raw[13]
    if command == _LOCAL:
        return ProxyHeader()
    if command != _PROXY:
        raise ProxyHeaderError(f"version 2 has the unknown command {command:#04x}")
    octets = _ADDRESS_OCTETS.get(family)
    if octets is None:
        # A UNIX socket, or no stream: specification 2.2 lets the receiver take the connection's own addresses.
        return ProxyHeader()
    block = raw[_FIXED_V2 : _FIXED_V2 + 2 * octets + 4]
    if len(block) < 2 * octets + 4:
        raise ProxyHeaderError("version 2 is too short for its addresses")
    source, destination = (ipaddress.ip_address(block[start : start + octets]) for start in (0, octets))
    source_port, destination_port = (
        int.from_bytes(block[start : start + 2], "big") for start in (2 * octets, 2 * octets + 2)
    )
    return ProxyHeader(_plain(source), source_port, _with_port(destination, destination_port))


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 client of an IPv6 socket is an IPv4 client."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _with_port(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> str:
    plain = _plain(address)
    return f"[{plain}]:{port}" if ":" in plain else f"{plain}:{port}"
