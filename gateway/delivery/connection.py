"""One connection to a next hop: bytes out with flow control, replies in, TLS, a watchdog for slow ones.

It knows what a reply looks like, not what it means: the dialogue is in opening.py and transaction.py.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import ssl
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple, cast

from gateway.delivery.commands import Capabilities
from gateway.mail.reply import NEXT_HOP_DOWN, Reply

MAX_REPLY_LINES = 128
MAX_REPLY_BYTES = 64 * 1024
MAX_UNREAD_REPLIES = 20_000  # far above the recipients of any transaction
TLS_GOODBYE_SECONDS = 2.0
_CLOSING = 421
_CODES = {str(code): code for code in range(200, 600)}
_MARKS = frozenset({" ", "-", "", "\r"})
_USUAL = re.compile(rb"(?:(?!421)[2-5][0-9][0-9] [^\r\n]*\r\n)+\Z")
_USUAL_BYTES = 1000
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")


class ConnectionBroken(Exception):
    """Nothing more can be done on this connection. The text says why, for the trace."""


class ConnectionLost(ConnectionBroken):
    """The next hop closed it, or the network did."""


class OutOfStep(ConnectionBroken):
    """What came is no reply, or a reply to nothing: which reply belongs to which command is no longer known."""


class NextHopUnavailable(Exception):
    """No transaction can begin there now. The text says what happened, for logs, the trace and `doctor`.

    `reply` is what a sender is told of it.
    """

    def __init__(self, text: str, reply: Reply = NEXT_HOP_DOWN) -> None:
        super().__init__(text)
        self.reply = reply


class HopReply(NamedTuple):
    """A reply as it came: its code and the text of its lines, joined by LF."""

    code: int
    text: str

    def cleaned(self) -> Reply:
        """On one line, fit to be passed on: class and enhanced status code kept, repeated ones dropped."""
        if "\n" not in self.text:
            return Reply.parse(self.code, self.text)
        first, *rest = self.text.split("\n")
        repeated = _ENHANCED.match(first)
        prefix = repeated[0] if repeated else ""
        return Reply.parse(self.code, " ".join([first, *(line.removeprefix(prefix) for line in rest)]))


class Connection(asyncio.Protocol):
    """A client's end of an SMTP or LMTP connection. One task at a time uses it.

    `capabilities` is set once the hop has greeted. `label` says for the trace where it leads and how it is protected.
    `transactions` counts the messages begun on it. `needs_reset` says that a transaction was left unfinished and RSET
    must come before the next.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._below_tls: asyncio.Transport | None = None
        self._partial = b""
        self._lines: list[str] = []
        self._line_bytes = 0
        self._replies: list[HopReply] = []
        self._wanted = 0
        self._waiter: asyncio.Future[bool] | None = None
        self._writable = True
        self._idle = False
        self._expires = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._step_seconds = 0.0
        self._latest = 0.0
        self._goodbye = False
        self.failure: ConnectionBroken | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self.capabilities = Capabilities()
        self.label = ""
        self.transactions = 0
        self.needs_reset = False
        self.idle_since = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family in {socket.AF_INET, socket.AF_INET6}:
            # Without it a small write waits for the ACK of the one before: 45 ms a message.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._fail(OutOfStep(f"the next hop spoke unasked: {_excerpt(data.decode('latin-1'))}"))
            self.abort()
            return
        if self.failure is not None:
            return
        if self._partial:
            data = self._partial + data
        try:
            self._parse(data)
        except OutOfStep as error:
            self._fail(error)
            return
        if self._replies and (len(self._replies) >= self._wanted or self.says_goodbye):
            self._wake()
        else:
            self._expires = min(self._loop.time() + self._step_seconds, self._latest)

    def eof_received(self) -> bool | None:
        self._fail(ConnectionLost("the next hop closed the connection"))
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionLost(str(exc) if exc is not None else "the connection was closed"))
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if not self._wanted:
            self._wake()

    # What the opening uses

    @property
    def peer_is_local(self) -> bool:
        """Whether the other end is on this machine: a UNIX socket or a loopback address."""
        connected = None if self._transport is None else self._transport.get_extra_info("socket")
        if connected is None or connected.family == socket.AF_UNIX:
            return connected is not None
        return ip_address(connected.getpeername()[0].partition("%")[0]).is_loopback

    @property
    def tls(self) -> str:
        """Version and cipher, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty in plain text."""
        session = None if self._below_tls is None or self._transport is None else self._session(self._transport)
        cipher = None if session is None else session.cipher()
        return "" if session is None or cipher is None else f"{session.version()} {cipher[0]}"

    async def ask(self, line: str, until: float) -> HopReply:
        """One command and its reply, with nothing else said by either side. `until` is a loop time.

        Raises `ConnectionBroken`, TimeoutError.
        """
        if not self.silent:
            raise OutOfStep(f"it said more than was asked: {self.leftover}")
        self.write(f"{line}\r\n".encode())
        return (await self.replies(1, until=until))[0]

    async def secure(self, context: ssl.SSLContext, name: str, until: float) -> None:
        """Go on under TLS (RFC 3207 section 4.1), with `name` for SNI and, if `context` checks it, in the certificate.

        What was said in plain text beyond what was asked ends the connection, so nothing of it can pass for a reply
        that came under TLS. What was known of the hop is forgotten. Raises OSError (ssl.SSLError, TimeoutError
        included) and `ConnectionBroken`; the connection is of no use then.
        """
        plain = self._transport
        if not self.silent or self.failure is not None or plain is None:
            raise self.failure or OutOfStep(f"it spoke before TLS began: {self.leftover}")
        async with asyncio.timeout_at(until):
            secured = await self._loop.start_tls(
                plain, self, context, server_hostname=name or None, ssl_shutdown_timeout=TLS_GOODBYE_SECONDS
            )
        if secured is None:
            raise ConnectionLost("the connection was closed in the TLS handshake")
        self._below_tls, self._transport = plain, secured
        self.capabilities = Capabilities()

    # What a transaction uses

    @property
    def received(self) -> list[HopReply]:
        """Replies that came and were not yet taken."""
        return self._replies

    @property
    def silent(self) -> bool:
        """Whether nothing came beyond the replies taken so far."""
        return not (self._replies or self._partial or self._lines)

    @property
    def leftover(self) -> str:
        """The beginning of what came beyond the replies taken so far, for the trace; empty when `silent`."""
        if self._replies:
            return str(self._replies[0].cleaned())
        return _excerpt(self._lines[0] if self._lines else self._partial.decode("latin-1"))

    @property
    def says_goodbye(self) -> bool:
        """Whether the hop said 421: it is closing, and need not answer anything more (RFC 5321 3.8)."""
        return self._goodbye

    @property
    def writable(self) -> bool:
        """False while more is written than the hop takes: await `drained`."""
        return self._writable

    @property
    def unsent(self) -> bool:
        """Whether bytes written here have not even left this process."""
        transport = self._transport
        if transport is None:
            return False
        return transport.get_write_buffer_size() > 0 or self._waits_below_tls()

    def write(self, data: bytes | bytearray) -> None:
        """Raises `ConnectionBroken` when nobody is there to read it."""
        if self.failure is not None or self._transport is None:
            raise self.failure or ConnectionLost("not connected")
        self._transport.write(data)

    async def replies(self, count: int, *, step_seconds: float = math.inf, until: float) -> list[HopReply]:
        """The next `count` replies; fewer only when a 421 ends them.

        Each reply may take `step_seconds`, all of them last until the loop time `until` at most: then TimeoutError, and
        what had come stays in `received`. Raises `ConnectionBroken` likewise.
        """
        while len(self._replies) < count and not self._goodbye:
            if not await self._heard(count, step_seconds, until):
                raise TimeoutError
        taken = self._replies[:count]
        del self._replies[:count]
        return taken

    async def drained(self, *, step_seconds: float, until: float) -> None:
        """Until the hop has taken enough for more to be written, or has said something."""
        while not self._writable and not self._replies:
            if not await self._heard(0, step_seconds, until):
                raise TimeoutError

    def take(self) -> list[HopReply]:
        """All replies that came, complete or not in number."""
        taken, self._replies = self._replies, []
        return taken

    # What the pool uses

    @property
    def usable(self) -> bool:
        """Whether another transaction may start: still open, in step, nothing unread or unsent."""
        return self.failure is None and self.silent and not self._goodbye and not self._transport_is_busy()

    def rest(self) -> None:
        """Nothing is asked any more: whatever the hop says now ends the connection."""
        self._idle = True
        self.idle_since = self._loop.time()

    def resume(self) -> None:
        self._idle = False

    def abort(self) -> None:
        """Close at once; what was not sent is thrown away."""
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def quit(self) -> None:
        """Take leave politely; does not wait for the answer."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.failure is None and not self.unsent:
            self._transport.write(b"QUIT\r\n")
        self._transport.close()

    # Inside

    def _transport_is_busy(self) -> bool:
        transport = self._transport
        return (
            transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size() > 0
            or self._waits_below_tls()
        )

    def _waits_below_tls(self) -> bool:
        # TLS counts only what it has not encrypted yet; the rest waits in the transport below.
        return self._below_tls is not None and self._below_tls.get_write_buffer_size() > 0

    @staticmethod
    def _session(transport: asyncio.Transport) -> ssl.SSLObject | None:
        return cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))

    def _parse(self, data: bytes) -> None:
        if self._wanted > 1 and not self._lines and (usual := _usual_replies(data)):
            self._replies += usual
            self._partial = b""
            return
        *lines, self._partial = data.split(b"\n")
        for octets in lines:
            line = octets.decode("utf-8", "replace")
            code = _CODES.get(line[:3])
            mark = line[3:4]
            if code is None or mark not in _MARKS:
                raise OutOfStep(f"the next hop sent no reply: {_excerpt(line)}")
            if mark != "-" and not self._lines:
                self._replies.append(HopReply(code, line[4:].rstrip("\r")))
                self._goodbye = self._goodbye or code == _CLOSING
            else:
                self._parse_one_of_several(code, mark, line)
        if len(self._partial) > MAX_REPLY_BYTES or len(self._replies) > MAX_UNREAD_REPLIES:
            raise OutOfStep("the next hop does not stop talking")

    def _parse_one_of_several(self, code: int, mark: str, line: str) -> None:
        if self._lines and line[:3] != self._lines[0][:3]:
            raise OutOfStep(f"the next hop changed the code within a reply: {_excerpt(line)}")
        self._lines.append(line)
        self._line_bytes += len(line)
        if len(self._lines) > MAX_REPLY_LINES or self._line_bytes > MAX_REPLY_BYTES:
            raise OutOfStep("the next hop's reply is endless")
        if mark != "-":
            self._replies.append(HopReply(code, "\n".join(part[4:].rstrip("\r") for part in self._lines)))
            self._goodbye = self._goodbye or code == _CLOSING
            self._lines.clear()
            self._line_bytes = 0

    def _heard(self, wanted: int, step_seconds: float, until: float) -> asyncio.Future[bool]:
        """True when `wanted` replies are there or waiting for them is pointless, False when it lasts too long."""
        if self.failure is not None:
            raise self.failure
        now = self._loop.time()
        if now >= until:
            raise TimeoutError
        self._wanted = wanted
        self._step_seconds, self._latest = step_seconds, until
        self._expires = min(now + step_seconds, until)
        if self._timer is None or self._timer.when() > self._expires:
            self._set_timer()
        self._waiter = self._loop.create_future()
        return self._waiter

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._expires, self._expire)

    def _expire(self) -> None:
        # One lazy timer serves all waits: most replies come long before, and arming one for each costs more than they.
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._expires:
            self._set_timer()
            return
        self._wake(in_time=False)

    def _fail(self, error: ConnectionBroken) -> None:
        if self.failure is None:
            self.failure = error
        self._wake()

    def _wake(self, *, in_time: bool = True) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self._wanted = 0
            if not waiter.done():
                waiter.set_result(in_time)


# A hop says the same to nearly every envelope.
@lru_cache(maxsize=64)
def _usual_replies(block: bytes) -> tuple[HopReply, ...]:
    """The replies of a block that is nothing but whole ones of one line each, no 421 among them; of any other none."""
    if len(block) > _USUAL_BYTES or not _USUAL.match(block):
        return ()
    lines = block.decode("utf-8", "replace").split("\r\n")[:-1]
    return tuple(HopReply(int(line[:3]), line[4:]) for line in lines)


def _excerpt(text: str) -> str:
    return ascii(text[:60])[1:-1]
