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
import ssl
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from gateway.testing.sink_dialogue import Dialogue, HangUp
from gateway.testing.sink_records import Answer as Answer
from gateway.testing.sink_records import SinkMessage as SinkMessage
from gateway.testing.sink_records import SinkRecipient as SinkRecipient

KEYWORDS = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
XFORWARD = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

Point = Literal[
    "CONNECT", "EHLO", "HELO", "LHLO", "XFORWARD", "MAIL", "RCPT", "DATA", "BODY", "DOT", "RSET", "QUIT",
    "STARTTLS", "TLS", "AUTH", "BDAT",
]  # fmt: skip

_DEFAULTS: dict[str, str] = {
    "CONNECT": "220 sink.test ready",
    "HELO": "250 sink.test",
    "XFORWARD": "250 2.0.0 ok",
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go ahead",
    "DOT": "250 2.0.0 ok: queued as {number}",
    "RSET": "250 2.0.0 ok",
    "STARTTLS": "220 2.0.0 go ahead",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class Sink:
    """The server. Use it as an asynchronous context manager; `address` is what a next hop's `address` setting takes.

    `received` lists every transaction that came to its dot, `messages` those that were accepted. `commands` lists the
    command lines of all connections, `connections` counts them, `most_at_once` how many were open at the same time.

    What goes wrong in a dialogue itself, an answer that cannot be given for example, closes that connection at once and
    is raised at the end of the `async with`: a test must not take a broken sink for a next hop that hangs.

    With `tls` it offers STARTTLS, or with `implicit_tls` begins with the handshake. With `users` (passwords by name) it
    offers AUTH PLAIN and LOGIN and takes no mail without. With "CHUNKING" among `keywords` it takes BDAT.
    """

    def __init__(
        self,
        *,
        protocol: Literal["smtp", "lmtp"] = "smtp",
        keywords: tuple[str, ...] = KEYWORDS,
        unix_path: Path | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self.protocol = protocol
        self.keywords = keywords
        self.address = ""
        self.received: list[SinkMessage] = []
        self.commands: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.users = users or {}
        self._host = host
        self._unix_path = unix_path
        self._scripts: dict[tuple[str, str], deque[Answer]] = defaultdict(deque)
        self._lasting: dict[tuple[str, str], Answer] = {}
        self._reached: dict[str, int] = defaultdict(int)
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._dialogues: set[asyncio.Task[None]] = set()
        self._faults: list[Exception] = []

    @property
    def messages(self) -> list[SinkMessage]:
        return [message for message in self.received if message.accepted]

    def answer(self, point: Point, *answers: str | bytes | Answer, to: str = "", always: bool = False) -> None:
        """At the next visits of `point` do as told, one answer a visit; then the usual again, unless `always`.

        Points are the verbs, CONNECT (the banner), TLS (before the handshake), BODY (the first bytes of data have come)
        and DOT (the data is complete, or the last chunk; BDAT stands for those before it). With `to` an answer to RCPT,
        or in LMTP to DOT, is for that recipient only.
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
            self._server = await asyncio.start_server(self._serve, self._host, 0)
            host, port = self._server.sockets[0].getsockname()[:2]
            self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
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
        if self._faults and error is None:
            raise self._faults[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._dialogues.add(task)
        self.connections += 1
        self.most_at_once = max(self.most_at_once, len(self._dialogues))
        dialogue = Dialogue(self, self.connections, reader, writer)
        try:
            await dialogue.run()
        except (ConnectionError, HangUp):
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception as fault:  # noqa: BLE001 - raised again where the test sees it
            self._faults.append(fault)
            writer.transport.abort()
        if dialogue.in_handshake:
            writer.transport.abort()
        else:
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
        self._dialogues.discard(task)

    async def visit(self, point: str, to: str, usual: str) -> Answer:
        """What to do at `point` now, which the dialogue has reached; `usual` is for where nobody said anything."""
        async with self._changed:
            self._reached[point] += 1
            self._changed.notify_all()
        for key in ((point, to), (point, "")):
            if self._scripts[key]:
                return self._scripts[key].popleft()
            if key in self._lasting:
                return self._lasting[key]
        if usual or point in {"BODY", "TLS"}:
            return Answer(usual)
        return Answer(_DEFAULTS.get(point, "500 5.5.2 unknown command").replace("{number}", str(len(self.received))))
