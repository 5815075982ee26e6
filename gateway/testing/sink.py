"""A next hop for tests: a real SMTP or LMTP server on loopback that records what it is given and answers as told.

    async with Sink() as sink:
        sink.answer("RCPT", "550 5.1.1 no such user", to="bo@example.test")
        ...                                    # deliver to sink.address
        assert sink.messages[0].data == body   # byte for byte, dots un-stuffed

It knows nothing of the gateway and repairs nothing: a command ends at CRLF and data at CRLF.CRLF, so what slips past
that slipped past the sender. For tests only; it takes mail for everybody.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

KEYWORDS = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
XFORWARD = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

Point = Literal["CONNECT", "EHLO", "HELO", "LHLO", "XFORWARD", "MAIL", "RCPT", "DATA", "BODY", "DOT", "RSET", "QUIT"]

_DEFAULTS: dict[str, str] = {
    "CONNECT": "220 sink.test ready",
    "HELO": "250 sink.test",
    "XFORWARD": "250 2.0.0 ok",
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go ahead",
    "DOT": "250 2.0.0 ok: queued as {number}",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}
_PATH = re.compile(r"(?:FROM|TO):\s*<((?:\"(?:[^\"\\]|\\.)*\"|[^>])*)>(.*)\Z", re.IGNORECASE | re.DOTALL)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sink does at one point of a dialogue.

    `reply` is text without its CRLF ("250-a\\r\\n250 b" for several lines), or bytes sent exactly as they are; empty
    says nothing. `after` is waited for first: an event that is never set is a hang. `piece_bytes` sends the reply in
    pieces of that size, each on its own. `then` ends the connection: "close" politely, "reset" by a TCP RST.
    """

    reply: str | bytes = ""
    after: asyncio.Event | None = None
    piece_bytes: int = 0
    then: Literal["go on", "close", "reset"] = "go on"


@dataclass(frozen=True, slots=True)
class SinkRecipient:
    """A recipient the sink accepted, and the parameters of its RCPT as they came ("NOTIFY=NEVER")."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class SinkMessage:
    """A transaction that was ended by its dot. `replies` are the sink's to the dot, one per recipient in LMTP."""

    sender: str
    parameters: tuple[str, ...]
    recipients: tuple[SinkRecipient, ...]
    data: bytes
    helo: str
    xforward: dict[str, str]
    connection: int
    replies: list[str] = field(default_factory=list)

    @property
    def to(self) -> tuple[str, ...]:
        """The addresses of the recipients."""
        return tuple(recipient.address for recipient in self.recipients)

    @property
    def accepted(self) -> bool:
        """Whether anybody's copy was answered with 2xx."""
        return any(reply.startswith("2") for reply in self.replies)


class Sink:
    """The server. Use it as an asynchronous context manager; `address` is what a next hop's `address` setting takes.

    `received` lists every transaction that came to its dot, `messages` those that were accepted. `commands` lists the
    command lines of all connections, `connections` counts them.
    """

    def __init__(
        self,
        *,
        protocol: Literal["smtp", "lmtp"] = "smtp",
        keywords: tuple[str, ...] = KEYWORDS,
        unix_path: Path | None = None,
    ) -> None:
        self.protocol = protocol
        self.keywords = keywords
        self.address = ""
        self.received: list[SinkMessage] = []
        self.commands: list[str] = []
        self.connections = 0
        self._unix_path = unix_path
        self._scripts: dict[tuple[str, str], deque[Answer]] = defaultdict(deque)
        self._lasting: dict[tuple[str, str], Answer] = {}
        self._reached: dict[str, int] = defaultdict(int)
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._dialogues: set[asyncio.Task[None]] = set()

    @property
    def messages(self) -> list[SinkMessage]:
        return [message for message in self.received if message.accepted]

    def answer(self, point: Point, *answers: str | bytes | Answer, to: str = "", always: bool = False) -> None:
        """At the next visits of `point` do as told, one answer a visit; then the usual again, unless `always`.

        Points are the verbs, CONNECT (the banner), BODY (the first bytes of data have come) and DOT (the data is
        complete). With `to` an answer to RCPT, or in LMTP to DOT, is for that recipient only.
        """
        told = [given if isinstance(given, Answer) else Answer(given) for given in answers]
        if always:
            self._lasting[point, to] = told.pop()
        self._scripts[point, to].extend(told)

    async def reached(self, point: Point, times: int = 1) -> None:
        """Wait until `point` was visited that many times in all, on whatever connections."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._reached[point] >= times)

    def drop_connections(self) -> None:
        """Close every open connection as it stands."""
        for task in self._dialogues:
            task.cancel()

    async def __aenter__(self) -> Self:
        if self._unix_path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._unix_path)
            self.address = f"unix:{self._unix_path}"
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            host, port = self._server.sockets[0].getsockname()
            self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.drop_connections()
        if self._dialogues:
            await asyncio.wait(self._dialogues)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._dialogues.add(task)
        self.connections += 1
        dialogue = _Dialogue(self, self.connections, reader, writer)
        try:
            await dialogue.run()
        except (ConnectionError, _HangUp):
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()
        self._dialogues.discard(task)

    async def _visit(self, point: str, to: str = "") -> Answer:
        async with self._changed:
            self._reached[point] += 1
            self._changed.notify_all()
        for key in ((point, to), (point, "")):
            if self._scripts[key]:
                return self._scripts[key].popleft()
            if key in self._lasting:
                return self._lasting[key]
        if point in {"EHLO", "LHLO"}:
            return Answer("\r\n".join(_several("250", ["sink.test", *self.keywords])))
        if point == "BODY":
            return Answer()
        return Answer(_DEFAULTS.get(point, "500 5.5.2 unknown command").replace("{number}", str(len(self.received))))


class _HangUp(Exception):
    """The dialogue is over."""


class _Dialogue:
    """One connection to the sink."""

    def __init__(self, sink: Sink, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink = sink
        self._number = number
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._unwritten: list[bytes] = []
        self._helo = ""
        self._forget()

    async def run(self) -> None:
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
                    await self._answer(verb)
                case "XFORWARD":
                    self._xforward.update(_pairs(argument))
                    await self._answer(verb)
                case "MAIL":
                    await self._mail(argument)
                case "RCPT":
                    await self._rcpt(argument)
                case "DATA":
                    await self._data()
                case "RSET":
                    self._forget()
                    await self._answer(verb)
                case "QUIT":
                    await self._answer(verb)
                    await self._flush()
                    raise _HangUp
                case _:
                    await self._answer(verb)

    def _forget(self) -> None:
        self._sender: str | None = None
        self._parameters: tuple[str, ...] = ()
        self._recipients: list[SinkRecipient] = []
        self._xforward: dict[str, str] = {}

    async def _mail(self, argument: str) -> None:
        found = _PATH.match(argument)
        if found is None or self._sender is not None:
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
        message = SinkMessage(
            self._sender,
            self._parameters,
            tuple(self._recipients),
            (lines.replace(b"\r\n.", b"\r\n") + b"\r\n")[2:] if lines else b"",
            self._helo,
            self._xforward,
            self._number,
        )
        self._sink.received.append(message)
        self._forget()
        for recipient in message.to if self._sink.protocol == "lmtp" else message.to[:1]:
            message.replies.append(await self._answer("DOT", recipient))

    async def _answer(self, point: str, to: str = "") -> str:
        answer = await self._sink._visit(point, to)
        if answer.after is not None:
            await self._flush()
            await answer.after.wait()
        reply = answer.reply if isinstance(answer.reply, bytes) else answer.reply.encode()
        await self._say(answer.reply, answer.piece_bytes)
        if answer.then != "go on":
            await self._flush()
            if answer.then == "reset":
                _reset_on_close(self._writer)
            raise _HangUp
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
            raise _HangUp
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


def _several(code: str, lines: list[str]) -> Iterator[str]:
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
