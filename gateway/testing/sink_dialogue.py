"""One connection to a sink: the commands it knows, and how answers are written. What they say is in sink.py."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from base64 import b64decode
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.testing.sink_records import SinkMessage, SinkRecipient

if TYPE_CHECKING:
    from gateway.testing.sink import Sink

HANDSHAKE_SECONDS = 10.0
_PATH = re.compile(r"(?:FROM|TO):\s*<((?:\"(?:[^\"\\]|\\.)*\"|[^>])*)>(.*)\Z", re.IGNORECASE | re.DOTALL)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


class HangUp(Exception):
    """The dialogue is over."""


class Dialogue:
    """One connection to the sink. Nobody is told of its end while it is `in_handshake`."""

    def __init__(self, sink: Sink, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink = sink
        self._number = number
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._unwritten: list[bytes] = []
        self._helo = ""
        self._login = ""
        self.in_handshake = False
        self._forget()

    async def run(self) -> None:
        if self._sink.implicit_tls:
            await self._handshake()
        await self._answer("CONNECT")
        while True:
            line = (await self._until(b"\r\n")).decode("utf-8", "backslashreplace")
            self._sink.commands.append(line)
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            match verb:
                case "EHLO" | "LHLO" | "HELO":
                    self._forget()
                    self._helo = argument
                    await self._answer(verb, usual=self._greeting() if verb != "HELO" else "")
                case "STARTTLS" if self._sink.tls is not None and not self._encrypted:
                    await self._start_tls()
                case "AUTH" if self._sink.users:
                    await self._auth(argument)
                case "XFORWARD":
                    self._xforward.update(_pairs(argument))
                    await self._answer(verb)
                case "MAIL":
                    await self._mail(argument)
                case "RCPT":
                    await self._rcpt(argument)
                case "DATA":
                    await self._data()
                case "BDAT" if "CHUNKING" in self._sink.keywords:
                    await self._bdat(argument)
                case "RSET":
                    self._forget()
                    await self._answer(verb)
                case "QUIT":
                    await self._answer(verb)
                    await self._flush()
                    raise HangUp
                case _:
                    await self._answer(verb)

    def _forget(self) -> None:
        self._sender: str | None = None
        self._parameters: tuple[str, ...] = ()
        self._recipients: list[SinkRecipient] = []
        self._xforward: dict[str, str] = {}
        self._chunks: list[bytes] = []

    @property
    def _encrypted(self) -> bool:
        return self._writer.get_extra_info("ssl_object") is not None

    def _greeting(self) -> str:
        keywords = list(self._sink.keywords)
        if self._sink.tls is not None and not self._encrypted:
            keywords.append("STARTTLS")
        if self._sink.users:
            keywords.append("AUTH PLAIN LOGIN")
        return "\r\n".join(several("250", ["sink.test", *keywords]))

    async def _start_tls(self) -> None:
        if not (await self._answer("STARTTLS")).startswith("2"):
            return
        await self._flush()
        self._buffer.clear()
        await self._handshake()
        self._helo, self._login = "", ""
        self._forget()

    async def _handshake(self) -> None:
        assert self._sink.tls is not None
        await self._answer("TLS")
        self.in_handshake = True
        try:
            await self._writer.start_tls(self._sink.tls, ssl_handshake_timeout=HANDSHAKE_SECONDS)
        except OSError:
            raise HangUp from None
        self.in_handshake = False

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            _, user, password = _decoded(initial).split("\0")
        else:
            await self._say("334 VXNlcm5hbWU6")
            user = _decoded((await self._until(b"\r\n")).decode())
            await self._say("334 UGFzc3dvcmQ6")
            password = _decoded((await self._until(b"\r\n")).decode())
        known = self._sink.users.get(user) == password
        usual = "235 2.7.0 welcome" if known else "535 5.7.8 authentication failed"
        if (await self._answer("AUTH", usual=usual)).startswith("2"):
            self._login = user

    async def _mail(self, argument: str) -> None:
        found = _PATH.match(argument)
        if self._sink.users and not self._login:
            await self._say("530 5.7.0 authentication required")
        elif found is None or self._sender is not None:
            await self._say("501 5.5.4 bad MAIL" if found is None else "503 5.5.1 nested MAIL")
        elif (await self._answer("MAIL")).startswith("2"):
            self._sender, self._parameters = found[1], tuple(found[2].split())

    async def _rcpt(self, argument: str) -> None:
        found = _PATH.match(argument)
        if found is None or self._sender is None:
            await self._say("501 5.5.4 bad RCPT" if found is None else "503 5.5.1 no MAIL yet")
        elif (await self._answer("RCPT", found[1])).startswith("2"):
            self._recipients.append(SinkRecipient(found[1], tuple(found[2].split())))

    async def _data(self) -> None:
        if self._sender is None or not self._recipients:
            await self._say("503 5.5.1 no valid recipients")
            return
        if not (await self._answer("DATA")).startswith("3"):
            return
        await self._more()
        await self._answer("BODY")
        # The CRLF of the DATA line counts: a dot right behind it ends an empty message.
        lines = await self._until(b"\r\n.\r\n", before=b"\r\n")
        await self._take((lines.replace(b"\r\n.", b"\r\n") + b"\r\n")[2:] if lines else b"")

    async def _bdat(self, argument: str) -> None:
        size, _, mark = argument.partition(" ")
        await self._more()
        await self._answer("BODY")
        while len(self._buffer) < int(size):
            await self._flush()
            self._buffer += await self._read()
        chunk = bytes(self._buffer[: int(size)])
        del self._buffer[: int(size)]
        if self._sender is None or not self._recipients:
            await self._say("503 5.5.1 no transaction")
            return
        self._chunks.append(chunk)
        if mark.upper() == "LAST":
            await self._take(b"".join(self._chunks))
        elif not (await self._answer("BDAT", usual=f"250 2.0.0 {size} octets")).startswith("2"):
            self._forget()

    async def _take(self, data: bytes) -> None:
        assert self._sender is not None
        session = self._writer.get_extra_info("ssl_object")
        message = SinkMessage(
            self._sender,
            self._parameters,
            tuple(self._recipients),
            data,
            self._helo,
            self._xforward,
            self._number,
            tls=session.version() if session is not None else "",
            login=self._login,
            chunks=tuple(map(len, self._chunks)),
        )
        self._sink.received.append(message)
        self._forget()
        for recipient in message.to if self._sink.protocol == "lmtp" else message.to[:1]:
            message.replies.append(await self._answer("DOT", recipient))

    async def _answer(self, point: str, to: str = "", usual: str = "") -> str:
        answer = await self._sink.visit(point, to, usual)
        if answer.after is not None:
            await self._flush()
            await answer.after.wait()
        reply = answer.reply if isinstance(answer.reply, bytes) else answer.reply.encode()
        await self._say(answer.reply, answer.piece_bytes)
        if answer.then != "go on":
            await self._flush()
            if answer.then == "reset":
                _reset_on_close(self._writer)
            raise HangUp
        return reply.decode("utf-8", "replace")

    async def _say(self, reply: str | bytes, piece_bytes: int = 0) -> None:
        wire = reply if isinstance(reply, bytes) else f"{reply}\r\n".encode() if reply else b""
        if not piece_bytes:
            self._unwritten.append(wire)
            return
        await self._flush()
        for start in range(0, len(wire), piece_bytes):
            self._writer.write(wire[start : start + piece_bytes])
            await self._writer.drain()
            await asyncio.sleep(0)

    async def _flush(self) -> None:
        wire, self._unwritten = b"".join(self._unwritten), []
        if wire:
            self._writer.write(wire)
            await self._writer.drain()

    async def _more(self) -> None:
        """At least one byte more in the buffer; replies go out first, as a server with PIPELINING does."""
        if self._buffer:
            return
        await self._flush()
        self._buffer += await self._read()

    async def _read(self) -> bytes:
        data = await self._reader.read(256 * 1024)
        if not data:
            raise HangUp
        return data

    async def _until(self, mark: bytes, before: bytes = b"") -> bytes:
        """Everything up to `mark`, which is taken from the buffer too; `before` counts as read already."""
        self._buffer[:0] = before
        searched = 0
        while (end := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark) + 1)
            await self._flush()
            self._buffer += await self._read()
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return taken


def several(code: str, lines: list[str]) -> Iterator[str]:
    for line in lines[:-1]:
        yield f"{code}-{line}"
    yield f"{code} {lines[-1]}"


def _pairs(argument: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in argument.split())
    return {name.upper(): _XTEXT.sub(lambda code: chr(int(code[1], 16)), value) for name, _, value in pairs}


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    connected = writer.get_extra_info("socket")
    if connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _decoded(text: str) -> str:
    return b64decode(text).decode()
