"""One HTTPS request to a host that a stranger named: to an address that we resolved and found public, and no further.

No redirect is followed, 64 KiB and 10 s are the most it may take. What the text means is not decided here.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeAlias

MAX_OCTETS = 64 * 1024
MAX_HEADER_OCTETS = 16 * 1024
TIMEOUT_SECONDS = 10.0

Trouble: TypeAlias = Literal["", "certificate", "unreachable", "timeout", "malformed", "too_long"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """`status` is the HTTP status, 0 when there was no answer; then `trouble` says why and `words` what was met."""

    status: int
    body: bytes = b""
    media_type: str = ""
    trouble: Trouble = ""
    words: str = ""


async def fetch(
    host: str, address: str, path: str, context: ssl.SSLContext, *, port: int = 443, seconds: float = TIMEOUT_SECONDS
) -> Fetched:
    """GET https://`host``path` from `address`, which is never looked up again: what was checked is what is asked."""
    ip_address(address)  # a name here would be resolved behind our back
    try:
        async with asyncio.timeout(seconds):
            data = await _exchange(host, address, port, path, context)
    except TimeoutError:
        return Fetched(0, trouble="timeout", words=f"no whole answer within {seconds:g} s")
    except ssl.SSLCertVerificationError as error:
        return Fetched(0, trouble="certificate", words=error.verify_message or str(error))
    except ssl.SSLError as error:
        return Fetched(0, trouble="unreachable", words=f"no TLS: {error.reason or error}")
    except OSError as error:
        return Fetched(0, trouble="unreachable", words=error.strerror or str(error))
    if len(data) > MAX_OCTETS + MAX_HEADER_OCTETS:
        return Fetched(0, trouble="too_long", words=f"more than {MAX_OCTETS} octets")
    return _read(data)


async def _exchange(host: str, address: str, port: int, path: str, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii"))
        data = bytearray()
        while len(data) <= MAX_OCTETS + MAX_HEADER_OCTETS:
            piece = await reader.read(16 * 1024)
            if not piece:
                break
            data += piece
        return bytes(data)
    finally:
        writer.transport.abort()


class _Received:
    """What http.client wants of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _read(data: bytes) -> Fetched:
    response = http.client.HTTPResponse(_Received(data), method="GET")  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read(MAX_OCTETS + 1)
    except (http.client.HTTPException, ValueError, OSError) as error:
        return Fetched(0, trouble="malformed", words=f"no HTTP answer: {type(error).__name__}")
    finally:
        response.close()
    if len(body) > MAX_OCTETS:
        return Fetched(0, trouble="too_long", words=f"more than {MAX_OCTETS} octets")
    return Fetched(response.status, body, (response.getheader("Content-Type") or "").partition(";")[0].strip().lower())
