"""The SMTP conversation: a method per verb. What a message means, where it goes and who may send it is not known here.

`connection` waits and writes, `conversation` keeps what the verbs share, `transfer` and `chunking`
have the verbs that bring a message.
Verbs are called `smtp_VERB`, as aiosmtpd calls them.
"""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Coroutine
from dataclasses import replace
from typing import ClassVar

from gateway.mail.envelope import BEHIND_A_MAIL_SERVER, Client, Recipient
from gateway.mail.reply import (
    AUTHENTICATION_NEEDED,
    BAD_ARGUMENT,
    BAD_SEQUENCE,
    CANNOT_VERIFY,
    FLUSHED,
    GOODBYE,
    INTERNAL_ERROR,
    LINE_TOO_LONG_COMMAND,
    NOT_A_MAIL_CLIENT,
    NOT_ALLOWED_HERE,
    NOT_IMPLEMENTED,
    NOTHING_DONE,
    RECIPIENT_OK,
    SENDER_OK,
    SHUTTING_DOWN,
    SYNTAX_ERROR,
    TALK_BEFORE_BANNER,
    TLS_NEEDED,
    TLS_READY,
    TOO_BIG,
    TOO_MANY_ERRORS,
    TOO_MANY_RECIPIENTS,
    XCLIENT_DENIED,
    XFORWARD_DENIED,
    XFORWARD_OK,
    Reply,
)
from gateway.mail.transaction import Transaction
from gateway.smtp.auth import LoginDialogue
from gateway.smtp.connection import ClientGoneError, GoodbyeError, wire
from gateway.smtp.conversation import MAX_COMMAND
from gateway.smtp.parameters import ArgumentError, read_helo, read_mail, read_rcpt
from gateway.smtp.proxy_protocol import begins_header
from gateway.smtp.reading import EndlessLineError, LineTooLongError
from gateway.smtp.session import Service
from gateway.smtp.xclient import impersonated, read_xclient
from gateway.smtp.xforward import forwarded_client, read_xforward

log = logging.getLogger(__name__)

# Their parameters take up to reading.MAX_LINE.
_LONG_COMMANDS = frozenset((b"MAIL", b"RCPT", b"XFORWARD", b"XCLIENT", b"AUTH"))
_TURN = 64  # commands of one client, pipelined, before the others get theirs
_FAREWELL_SECONDS = 1.0  # for the client's QUIT after the reply to its last message, when the server stops
# What every transaction is told.
_SENDER_OK, _RECIPIENT_OK = wire(SENDER_OK), wire(RECIPIENT_OK)
# RFC 3207 4, and what changes nothing.
_BEFORE_TLS = frozenset({"EHLO", "HELO", "LHLO", "NOOP", "RSET", "QUIT", "STARTTLS", "AUTH", "unoffered"})
# What speaks HTTP, TLS or SSH, or sends us the header of a web request or of a proxy, is no mail client.
_FOREIGN = re.compile(rb"(?:GET|POST|HEAD|PUT|OPTIONS|CONNECT|PRI|PROXY)\Z|SSH-|[A-Z][A-Z0-9-]*:\Z|[^\t\r\n\x20-\x7e]")


class SmtpServer(LoginDialogue):
    """One SMTP conversation. `serving` makes it, connects it and awaits `converse`."""

    # Explicit, since aiosmtpd's class brings verbs that this server does not offer.
    verbs: ClassVar[dict[bytes, str]] = {
        name.encode(): f"smtp_{name}"
        for name in (
            *("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY"),
            *("XFORWARD", "XCLIENT", "AUTH", "STARTTLS"),
        )
    } | dict.fromkeys((b"EXPN", b"HELP", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML"), "smtp_unoffered")

    def __init__(self, service: Service, client: Client) -> None:
        super().__init__(service, client)
        self._taken = self.verbs if service.listener.tls != "required" else _before_tls(self.verbs)

    async def converse(self) -> None:
        """The whole conversation. No trouble of the client's or ours leaves it; the transport is closed at its end."""
        self._note_encryption()
        try:
            await self._greet()
            await self._handle_client()
        except GoodbyeError as goodbye:
            self._say_farewell(goodbye.reply)
        except ClientGoneError:
            pass
        except Exception:
            log.exception("%s: session failed", self.mail_session.id)
            self._say(self._tagged(INTERNAL_ERROR))
        finally:
            self._reset()
        await self._hang_up()

    async def _greet(self) -> None:
        listener = self.service.listener
        if not self.mail_session.trusted:
            if listener.role in BEHIND_A_MAIL_SERVER:
                raise GoodbyeError(NOT_ALLOWED_HERE)
            if listener.greeting_delay_ms and not await self._is_silent_for(listener.greeting_delay_ms / 1000):
                if self.service.proxies is not None and begins_header(self.incoming.take_block() or b""):
                    raise ClientGoneError  # a second header: whoever wrote it is not to learn what listens here
                raise GoodbyeError(TALK_BEFORE_BANNER)
        await self._welcome()

    async def _welcome(self) -> None:
        refusal = await self.service.pipeline.connect(self.mail_session)
        if refusal is not None:
            raise GoodbyeError(refusal)
        self._out.append(self.service.greeting)

    async def _handle_client(self) -> None:
        incoming = self.incoming
        for count in itertools.count(1):
            start = incoming.consumed
            self._line = b""
            try:
                line = incoming.take_line() or await self._await_line()
            except LineTooLongError:
                self._refuse(LINE_TOO_LONG_COMMAND)
                continue
            except EndlessLineError:
                self._say(self._tagged(LINE_TOO_LONG_COMMAND))
                raise GoodbyeError(TOO_MANY_ERRORS) from None
            if self._answered:
                self._confirm(start)
            if self._interruption is not None:
                raise GoodbyeError(self._interruption)
            self._line = line
            try:
                following = self._command(line)
                if following is not None:
                    await following
            except ArgumentError as error:
                self._refuse(error.reply)
            except (GoodbyeError, ClientGoneError):
                raise
            except Exception as error:  # noqa: BLE001 - the SMTP boundary: a bug is never the sender's fault
                self._out.append(f"{await self.handle_exception(error)}\r\n".encode())
            if not count % _TURN:
                await asyncio.sleep(0)

    async def _await_line(self) -> bytes:
        """The deadline is one for the whole line: an octet now and then does not extend it."""
        ends = self.draining and not self.has_transaction
        seconds = _FAREWELL_SECONDS if ends else self._allowance.command_seconds
        deadline = self.service.loop.time() + seconds
        while True:
            if self.incoming.buffered and _FOREIGN.match(bytes((self.incoming.first_octet,))):
                raise GoodbyeError(NOT_A_MAIL_CLIENT)  # a TLS handshake need not hold a line feed
            await self._more(deadline)
            line = self.incoming.take_line()
            if line is not None:
                return line

    def _command(self, line: bytes) -> Coroutine[None, None, None] | None:
        """What is left to be awaited of the command."""
        word, _, argument = line.rstrip(b"\r\n").partition(b" ")
        verb = word.upper()
        if self.draining and verb != b"QUIT" and not self.has_transaction:
            raise GoodbyeError(SHUTTING_DOWN)
        if verb == b"BDAT":
            return self.take_chunk(line)  # whatever is wrong with it, the octets behind it are no commands
        method = self._taken.get(verb)
        if method is None:
            if _FOREIGN.match(verb):
                raise GoodbyeError(NOT_A_MAIL_CLIENT)
            self._refuse(SYNTAX_ERROR.says("unknown command"))
        elif not line.endswith(b"\r\n") and not self.service.normalises_newlines:
            self._refuse(SYNTAX_ERROR.says("a command ends with CR LF"))
        elif len(line) > MAX_COMMAND and verb not in _LONG_COMMANDS:
            self._refuse(LINE_TOO_LONG_COMMAND)
        else:
            try:
                text = argument.decode()
            except UnicodeDecodeError:
                self._refuse(SYNTAX_ERROR.says("the argument is no valid UTF-8"))
                return None
            following: Coroutine[None, None, None] = getattr(self, method)(text.strip(" "))
            return following
        return None

    async def handle_exception(self, error: Exception) -> str:
        """aiosmtpd answers 500 with the exception's text here: a permanent refusal that tells internals."""
        log.error("%s: command failed", self._id, exc_info=error)
        return str(self._tagged(INTERNAL_ERROR))

    # Session verbs

    async def smtp_EHLO(self, argument: str) -> None:
        self._hello(argument, esmtp=True)
        encrypted = self.tls is not None
        auth = self.service.takes_logins(encrypted)
        self._out.append(self.service.ehlo_reply(encrypted, self._peer_trusted, self._may_xclient, auth))

    async def smtp_HELO(self, argument: str) -> None:
        self._hello(argument, esmtp=False)
        self._out.append(self.service.helo_reply)

    def _hello(self, argument: str, *, esmtp: bool) -> None:
        self._count_idle()
        helo = read_helo(argument)
        self._reset()
        session = self.mail_session
        peer = client = Client(session.peer.address, session.peer.port, helo=helo)
        if session.client.forwarded:  # by XCLIENT: that of XFORWARD has just been reset
            client = replace(session.client, helo=session.client.helo or helo)
        self.mail_session = replace(session, peer=peer, client=client, helo=helo, esmtp=esmtp)

    async def smtp_NOOP(self, argument: str) -> None:
        self._count_idle()
        self._say(NOTHING_DONE)

    async def smtp_RSET(self, argument: str) -> None:
        self._count_idle()
        self._reset()
        self._say(FLUSHED)

    async def smtp_VRFY(self, argument: str) -> None:
        self._count_idle()
        self._say(CANNOT_VERIFY)

    async def smtp_QUIT(self, argument: str) -> None:
        raise GoodbyeError(GOODBYE)

    async def smtp_unoffered(self, argument: str) -> None:
        self._refuse(NOT_IMPLEMENTED)

    async def smtp_needs_tls(self, argument: str) -> None:
        self._refuse(TLS_NEEDED)

    async def smtp_STARTTLS(self, argument: str) -> None:
        context = self.service.tls
        if context is None:
            self._refuse(NOT_IMPLEMENTED)
        elif argument:
            self._refuse(BAD_ARGUMENT)
        elif self.tls is not None or self._transaction is not None:
            self._refuse(BAD_SEQUENCE)
        else:
            self._count_idle()
            self._reset()
            self._say(TLS_READY)
            await self._start_tls(context, self.handshake_seconds)
            self._note_encryption()
            self._taken = self.verbs

    async def smtp_XCLIENT(self, argument: str) -> None:
        """Postfix XCLIENT_README: the session begins again, as if the client named had connected itself."""
        if not self._may_xclient:
            self._refuse(XCLIENT_DENIED)
        elif self._transaction is not None:
            self._refuse(BAD_SEQUENCE)
        else:
            self._count_idle()
            values = read_xclient(argument)
            self._reset()
            self.mail_session = impersonated(self.mail_session, values, self.service.trusted)
            if not self.mail_session.trusted and self.service.listener.role in BEHIND_A_MAIL_SERVER:
                raise GoodbyeError(NOT_ALLOWED_HERE)
            await self._welcome()

    @property
    def _may_xclient(self) -> bool:
        """The client of the session, not of the connection, as in Postfix: who has become a stranger stays one."""
        return self.service.listener.xclient and self.mail_session.trusted

    async def smtp_XFORWARD(self, argument: str) -> None:
        if not self._peer_trusted:
            self._refuse(XFORWARD_DENIED)
        elif not self.mail_session.helo or self._transaction is not None:
            self._refuse(BAD_SEQUENCE)
        else:
            values = read_xforward(argument)
            if not self._forwarded:
                self._unforwarded = self.mail_session.client
            self._forwarded |= values
            self.mail_session = replace(self.mail_session, client=forwarded_client(self._forwarded))
            self._say(XFORWARD_OK)

    # The transaction

    async def smtp_MAIL(self, argument: str) -> None:
        if not self.mail_session.helo or self._transaction is not None:
            self._refuse(BAD_SEQUENCE)
            return
        role = self.mail_session.role
        if role == "submission" and self.mail_session.identity is None:
            self._refuse(AUTHENTICATION_NEEDED)
            return
        sender, parameters = read_mail(argument, ignores_auth=role in ("proxy", "submission"))
        refusal = self._rates and self._rates.message(self.mail_session.peer.address)
        outcome = refusal or await self.service.pipeline.mail(self.mail_session, sender, parameters)
        if isinstance(outcome, Reply):
            if outcome.code == SHUTTING_DOWN.code:  # 421: nothing more is taken from this client
                raise GoodbyeError(outcome)
            self._refuse(outcome, by_policy=True)
        else:
            self._transaction = outcome
            self._out.append(_SENDER_OK)

    async def smtp_RCPT(self, argument: str) -> None:
        transaction = self._transaction
        if transaction is None or self._intake is not None:
            self._refuse(BAD_SEQUENCE)
            return
        self._recipients_named += 1
        recipient = read_rcpt(argument, transaction.parameters.smtputf8, self.service.hostname)
        size, limit = transaction.parameters.size, self.service.max_message_bytes
        if size is not None and size > limit:
            # Here and not at MAIL, so that it can be told whose mail it was (RFC 1870 6.1 allows both).
            reply = TOO_BIG.says(f"a message of {size} octets is announced, the limit is {limit}")
            transaction.events.append({"event": "rcpt", "recipient": str(recipient.address), "reply": str(reply)})
        elif not self._takes_another(transaction, recipient):
            return
        else:
            reply = await self.service.pipeline.rcpt(transaction, recipient)
        if reply.is_accept:
            self._recipient_taken(transaction, recipient.address.key)
            self._out.append(_RECIPIENT_OK if reply is RECIPIENT_OK else wire(reply))
        else:
            self._refused_recipients = True
            self._refuse(reply, by_policy=True)

    def _takes_another(self, transaction: Transaction, recipient: Recipient) -> bool:
        """RFC 5321 4.5.3.1.10: who names too many is to send the rest again, so that is no error, up to a point."""
        limit = self.service.listener.max_recipients
        if self._recipients_named > 2 * limit:
            self._refuse(TOO_MANY_RECIPIENTS)
            return False
        if transaction.recipient_count >= limit and not transaction.has(recipient):
            self._say(self._tagged(TOO_MANY_RECIPIENTS))
            return False
        refusal = self._rates and self._rates.recipient(self.mail_session.peer.address)
        if refusal:
            transaction.events.append({"event": "rcpt", "recipient": str(recipient.address), "reply": str(refusal)})
            self._refused_recipients = True
            self._refuse(refusal)
            return False
        return True

    def _recipient_taken(self, transaction: Transaction, key: str) -> None:
        """For LMTP, where every RCPT that was answered 250 gets its own reply."""


def _before_tls(verbs: dict[bytes, str]) -> dict[bytes, str]:
    """The verbs of a client that must begin TLS first."""
    return {
        verb: method if method.removeprefix("smtp_") in _BEFORE_TLS else "smtp_needs_tls"
        for verb, method in verbs.items()
    }
