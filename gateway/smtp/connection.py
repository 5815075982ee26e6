"""One connection as a stream: waiting, writing, deadlines and the end of it. Nothing here knows an SMTP command."""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import cast

from aiosmtpd.smtp import SMTP

from gateway.mail.reply import SHUTTING_DOWN, TOO_SLOW, Reply
from gateway.mail.transaction import Transaction
from gateway.smtp.reading import Incoming
from gateway.smtp.session import Service

NEVER = math.inf
LINGER_SECONDS = 1.0  # for the client to read our last words before the socket goes away
LINGER_BYTES = 128 * 1024
TLS_FAREWELL_SECONDS = 1.0  # for the client's answer to the end of TLS (RFC 8446 6.1)


class GoodbyeError(Exception):
    """The conversation ends with `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class ClientGoneError(Exception):
    """Nothing more will come from the client."""


class Connection(SMTP):
    """The stream half of aiosmtpd's SMTP protocol, replaced.

    aiosmtpd's StreamReader, its timer over the whole session and its cancelling of the handler at a half-close or a
    lost connection are what a transaction must not depend on. Here a disconnect only marks the input as ended.
    """

    def __init__(self, service: Service) -> None:
        # aiosmtpd's own constructor scans the class with `inspect` for each connection; nothing it sets is used here.
        self.service = service
        self.incoming = Incoming(service.loop)
        self.transport: asyncio.Transport | None = None
        self.deadline = NEVER
        """Loop time at which the client has been waited for long enough."""
        self.processing: Transaction | None = None
        """The complete message that is being worked on."""
        self.draining = False
        self.tls: ssl.SSLObject | None = None
        """The other end of the encryption, once there is any."""
        self._shaking_hands = False
        self._out: list[bytes] = []
        self._writable: asyncio.Future[None] | None = None
        self._interruption: Reply | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.tls = transport.get_extra_info("ssl_object")
        self.incoming.attach(self.transport)

    def data_received(self, data: bytes) -> None:
        self.incoming.feed(data)

    def eof_received(self) -> bool:
        self.incoming.feed_eof()
        # A client that has closed its side may still want our reply. TLS knows no half-closed connection.
        return self.tls is None

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.processing is not None:
            self.processing.client_gone = True
        self.incoming.feed_eof()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = self.service.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the server calls

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = NEVER
        if self._writable is not None and self.transport is not None:
            self.transport.abort()  # it does not read: there is no way to tell it
        else:
            self._interrupt(SHUTTING_DOWN if self.draining else TOO_SLOW)

    @property
    def has_transaction(self) -> bool:
        """Whether mail is under way: between MAIL and the reply to the final dot."""
        return self.processing is not None

    def drain(self) -> None:
        """End the conversation; a transaction that has begun is finished first."""
        self.draining = True
        if self._shaking_hands:
            self.abort()
        elif not self.has_transaction:
            self._interrupt(SHUTTING_DOWN)

    def cut(self) -> None:
        """There is no time left. A message that is complete goes on without its client."""
        if self.processing is None:
            self._interrupt(SHUTTING_DOWN)
        elif self.transport is not None:
            self.transport.write(wire(SHUTTING_DOWN.tagged(self.processing.id)))
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def _interrupt(self, reply: Reply) -> None:
        self._interruption = reply
        self.incoming.wake()

    # For the conversation

    async def _start_tls(self, context: ssl.SSLContext, seconds: float) -> None:
        """The server's side of a handshake. Raises `ClientGoneError` when it fails; then nothing more can be said.

        What the client has sent until now is forgotten: it came before the encryption, from whomever (RFC 3207 4.2).
        """
        plain = self.transport
        if plain is None or plain.is_closing():
            raise ClientGoneError
        self._flush()
        self.incoming.begin_anew()
        self.resume_writing()  # from here on it is the encryption that the transport asks to wait
        encrypted = None
        self._shaking_hands = True
        try:
            encrypted = await self.service.loop.start_tls(
                plain,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=TLS_FAREWELL_SECONDS,
            )
        except OSError as error:
            self._handshake_failed(error)
        finally:
            self._shaking_hands = False
        if encrypted is None:  # also when the connection was lost in between
            plain.abort()
            self.transport = None
            raise ClientGoneError
        self.connection_made(encrypted)

    def _handshake_failed(self, error: OSError) -> None:
        """For the log of whoever knows the client."""

    def _say(self, reply: Reply) -> None:
        """Queue a reply; replies to pipelined commands leave together."""
        self._out.append(wire(reply))

    def _flush(self) -> None:
        out = self._out
        if out:
            if self.transport is not None:
                self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    async def _more(self, deadline: float) -> None:
        """Say what is queued and wait for the client until `deadline`, a loop time.

        Raises `GoodbyeError` when the client is too slow or the server stops, `ClientGoneError` at the end of input.
        """
        self._flush()
        self.deadline = deadline
        incoming = self.incoming
        received = incoming.received
        if self._writable is not None:
            await self._writable
        if self._interruption is None and incoming.received == received:
            if incoming.ended:
                raise ClientGoneError
            await incoming.wait()
        self.deadline = NEVER
        if self._interruption is not None:
            raise GoodbyeError(self._interruption)

    async def _is_silent_for(self, seconds: float) -> bool:
        """Whether the client says nothing for that long."""
        timer = self.service.loop.call_later(seconds, self.incoming.wake)
        try:
            await self._more(NEVER)
        finally:
            timer.cancel()
        return not self.incoming.buffered

    async def _hang_up(self) -> None:
        """Close so that the client gets our last words: a socket closed with unread input would reset them away."""
        self._flush()
        transport = self.transport
        is_done = self.tls is None and not self.incoming.buffered
        if transport is not None and is_done and not transport.get_write_buffer_size():
            transport.close()
            return
        self._interruption = None
        self.deadline = self.service.loop.time() + LINGER_SECONDS
        discarded = 0
        if transport is not None and self.tls is not None:
            transport.close()
        elif transport is not None and not self.incoming.ended:
            transport.write_eof()
        while self.transport is not None and self._interruption is None and discarded <= LINGER_BYTES:
            if self.incoming.ended and not self.transport.get_write_buffer_size():
                break
            if block := self.incoming.take_block():
                discarded += len(block)
            else:
                await self.incoming.wait()
        self.deadline = NEVER
        if self.transport is not None:
            self.transport.abort()


def wire(reply: Reply) -> bytes:
    """The reply as it goes out."""
    return f"{reply}\r\n".encode("ascii")
