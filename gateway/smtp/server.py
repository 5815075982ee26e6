"""The SMTP conversation: a method per verb. What a message means, where it goes and who may send it is not known here.

Verbs are called `smtp_VERB`, as aiosmtpd calls them.
"""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from gateway.mail.body import Body
from gateway.mail.envelope import Client, Recipient, Session
from gateway.mail.reply import (
    BAD_ARGUMENT,
    BAD_SEQUENCE,
    CANNOT_VERIFY,
    FLUSHED,
    GO_AHEAD,
    GOODBYE,
    INTERNAL_ERROR,
    LINE_TOO_LONG_COMMAND,
    NO_VALID_RECIPIENTS,
    NOT_A_MAIL_CLIENT,
    NOT_ALLOWED_HERE,
    NOT_IMPLEMENTED,
    NOTHING_DONE,
    RECIPIENT_OK,
    SENDER_OK,
    SHUTTING_DOWN,
    SYNTAX_ERROR,
    TALK_BEFORE_BANNER,
    TOO_BIG,
    TOO_MANY_ERRORS,
    TOO_MANY_RECIPIENTS,
    TOO_SLOW,
    XFORWARD_DENIED,
    XFORWARD_OK,
    Reply,
)
from gateway.mail.transaction import Transaction
from gateway.smtp.connection import ClientGoneError, Connection, GoodbyeError, wire
from gateway.smtp.intake import MessageIntake
from gateway.smtp.limits import CommandBudget
from gateway.smtp.parameters import ArgumentError, read_helo, read_mail, read_rcpt
from gateway.smtp.reading import EndlessLineError, LineTooLongError
from gateway.smtp.session import Service
from gateway.smtp.xforward import forwarded_client, read_xforward

if TYPE_CHECKING:
    from gateway.pipeline import Verdict

log = logging.getLogger(__name__)

MAX_COMMAND = 512  # RFC 5321 4.5.3.1.4, line end included
_LONG_COMMANDS = frozenset((b"MAIL", b"RCPT", b"XFORWARD"))  # their parameters take up to reading.MAX_LINE
_TURN = 64  # commands of one client, pipelined, before the others get theirs
_FAREWELL_SECONDS = 1.0  # for the client's QUIT after the reply to its last message, when the server stops
# What every transaction is told.
_SENDER_OK, _RECIPIENT_OK, _GO_AHEAD = wire(SENDER_OK), wire(RECIPIENT_OK), wire(GO_AHEAD)
# What speaks HTTP, TLS or SSH, or sends us the header of a web request, is no mail client.
_FOREIGN = re.compile(rb"(?:GET|POST|HEAD|PUT|OPTIONS|CONNECT|PRI)\Z|SSH-|[A-Z][A-Z0-9-]*:\Z|[^\t\r\n\x20-\x7e]")


class SmtpServer(Connection):
    """One SMTP conversation. `serving` makes it, connects it and awaits `converse`."""

    # Explicit, since aiosmtpd's class brings verbs (AUTH, STARTTLS) that this server does not offer.
    verbs: ClassVar[dict[bytes, str]] = {
        name.encode(): f"smtp_{name}"
        for name in ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "XFORWARD", "AUTH")
    } | dict.fromkeys((b"EXPN", b"HELP", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML", b"STARTTLS"), "smtp_unoffered")

    def __init__(self, service: Service, client: Client) -> None:
        super().__init__(service)
        self.mail_session: Session = service.new_session(client)
        self._transaction: Transaction | None = None
        self._recipients_named = 0
        self._refused_recipients = False
        self._forwarded: dict[str, str] = {}
        self._answered: deque[tuple[int, Transaction]] = deque()  # and how much input had come by then
        listener = service.listener
        self._budget = CommandBudget(listener.max_errors, listener.max_idle_commands)

    @property
    def has_transaction(self) -> bool:
        return self._transaction is not None or self.processing is not None

    async def converse(self) -> None:
        """The whole conversation. No trouble of the client's or ours leaves it; the transport is closed at its end."""
        try:
            await self._greet()
            await self._handle_client()
        except GoodbyeError as goodbye:
            self._say(goodbye.reply if goodbye.reply.is_accept else self._tagged(goodbye.reply))
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
            if listener.role == "filter":
                raise GoodbyeError(NOT_ALLOWED_HERE)
            if listener.greeting_delay_ms and not await self._is_silent_for(listener.greeting_delay_ms / 1000):
                raise GoodbyeError(TALK_BEFORE_BANNER)
        refusal = await self.service.pipeline.connect(self.mail_session)
        if refusal is not None:
            raise GoodbyeError(refusal)
        self._out.append(self.service.greeting)

    async def _handle_client(self) -> None:
        incoming = self.incoming
        for count in itertools.count(1):
            start = incoming.consumed
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
            try:
                following = self._command(line)
                if following is not None:
                    await following
            except ArgumentError as error:
                self._note(line, error.reply)
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
        seconds = _FAREWELL_SECONDS if ends else self.service.listener.command_timeout_seconds
        deadline = self.service.loop.time() + seconds
        while True:
            if self.incoming.buffered and _FOREIGN.match(bytes((self.incoming.first_octet,))):
                raise GoodbyeError(NOT_A_MAIL_CLIENT)  # a TLS handshake need not hold a line feed
            await self._more(deadline)
            line = self.incoming.take_line()
            if line is not None:
                return line

    def _confirm(self, consumed: int) -> None:
        """A command has come that began behind so many octets: the client has seen what was answered before them."""
        while self._answered and self._answered[0][0] <= consumed:
            self.service.pipeline.confirm(self._answered.popleft()[1])

    def _command(self, line: bytes) -> Coroutine[None, None, None] | None:
        """What is left to be awaited of the command."""
        word, _, argument = line.rstrip(b"\r\n").partition(b" ")
        verb = word.upper()
        if self.draining and verb != b"QUIT" and not self.has_transaction:
            raise GoodbyeError(SHUTTING_DOWN)
        method = self.verbs.get(verb)
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

    # Replies

    @property
    def _id(self) -> str:
        return self.mail_session.id if self._transaction is None else self._transaction.id

    def _tagged(self, reply: Reply) -> Reply:
        return reply if reply.text.endswith("]") else reply.tagged(self._id)

    def _refuse(self, reply: Reply, *, by_policy: bool = False) -> None:
        """Say no. A mail server beside us is not blamed for the refusals that its own clients' mail meets."""
        farewell = None if by_policy and self.mail_session.trusted else self._budget.error()
        if farewell is not None:
            raise GoodbyeError(farewell)
        self._say(self._tagged(reply))

    def _note(self, line: bytes, reply: Reply) -> None:
        """Keep a command that was refused for its words, so that the id in the reply leads somewhere."""
        command = line[:MAX_COMMAND].rstrip().decode("ascii", "backslashreplace")
        if self._transaction is not None:
            self._transaction.events.append({"event": "refused", "command": command, "reply": str(reply)})
        else:
            session = self.mail_session
            log.info("%s %s client=%s %s: %s", session.id, session.listener, session.client.address, command, reply)

    def _count_idle(self) -> None:
        farewell = self._budget.idle()
        if farewell is not None:
            raise GoodbyeError(farewell)

    # Session verbs

    async def smtp_EHLO(self, argument: str) -> None:
        self._hello(argument, esmtp=True)
        self._out.append(self.service.ehlo_reply(trusted=self.mail_session.trusted))

    async def smtp_HELO(self, argument: str) -> None:
        self._hello(argument, esmtp=False)
        self._out.append(self.service.helo_reply)

    def _hello(self, argument: str, *, esmtp: bool) -> None:
        self._count_idle()
        helo = read_helo(argument)
        self._reset()
        peer = Client(self.mail_session.peer.address, self.mail_session.peer.port, helo=helo)
        self.mail_session = replace(self.mail_session, peer=peer, client=peer, helo=helo, esmtp=esmtp)

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

    async def smtp_AUTH(self, argument: str) -> None:
        self._refuse(BAD_SEQUENCE.says("AUTH is not offered here"))

    async def smtp_unoffered(self, argument: str) -> None:
        self._refuse(NOT_IMPLEMENTED)

    async def smtp_XFORWARD(self, argument: str) -> None:
        if not self.mail_session.trusted:
            self._refuse(XFORWARD_DENIED)
        elif not self.mail_session.helo or self._transaction is not None:
            self._refuse(BAD_SEQUENCE)
        else:
            self._forwarded |= read_xforward(argument)
            self.mail_session = replace(self.mail_session, client=forwarded_client(self._forwarded))
            self._say(XFORWARD_OK)

    def _reset(self) -> None:
        """Back to where a transaction may begin; what was begun is abandoned."""
        if self._transaction is not None:
            self.service.pipeline.abandon(self._transaction)
        self._end_transaction()

    def _end_transaction(self) -> None:
        self._transaction = None
        self._recipients_named = 0
        self._refused_recipients = False
        if self._forwarded:
            self._forwarded = {}
            self.mail_session = replace(self.mail_session, client=self.mail_session.peer)

    # The transaction

    async def smtp_MAIL(self, argument: str) -> None:
        if not self.mail_session.helo or self._transaction is not None:
            self._refuse(BAD_SEQUENCE)
            return
        sender, parameters = read_mail(argument)
        outcome = await self.service.pipeline.mail(self.mail_session, sender, parameters)
        if isinstance(outcome, Reply):
            self._refuse(outcome, by_policy=True)
        else:
            self._transaction = outcome
            self._out.append(_SENDER_OK)

    async def smtp_RCPT(self, argument: str) -> None:
        transaction = self._transaction
        if transaction is None:
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
        return True

    def _recipient_taken(self, transaction: Transaction, key: str) -> None:
        """For LMTP, where every RCPT that was answered 250 gets its own reply."""

    async def smtp_DATA(self, argument: str) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipient_count:
            self._refuse(self._no_recipients, by_policy=self._refused_recipients)
            return
        if argument:
            self._refuse(BAD_ARGUMENT)
            return
        self._out.append(_GO_AHEAD)
        try:
            await self._take_message(transaction)
        except (GoodbyeError, ClientGoneError):
            raise
        except Exception as error:
            log.error("%s: taking the message failed", transaction.id, exc_info=error)
            raise GoodbyeError(INTERNAL_ERROR) from error

    async def _take_message(self, transaction: Transaction) -> None:
        intake = self.service.new_intake()
        try:
            await self._receive(intake)
            outcome = intake.finish()
        except GoodbyeError as goodbye:
            if goodbye.reply is TOO_SLOW:
                self._transaction = None
                goodbye.reply = self.service.pipeline.refused(transaction, TOO_SLOW, intake.size)
            raise
        finally:
            intake.discard()
        self._transaction = None
        if isinstance(outcome, Reply):
            replies = self._all(self.service.pipeline.refused(transaction, outcome, intake.size))
        else:
            if intake.event is not None:
                transaction.events.append(intake.event)
            replies = await self._process(transaction, outcome)
        self._end_transaction()
        self._answer(replies)
        if not isinstance(outcome, Reply):
            self._answered.append((self.incoming.received, transaction))

    @property
    def _no_recipients(self) -> Reply:
        return NO_VALID_RECIPIENTS if self._refused_recipients else BAD_SEQUENCE

    async def _receive(self, intake: MessageIntake) -> None:
        listener = self.service.listener
        incoming = self.incoming
        now = self.service.loop.time
        begun = now()
        while True:
            block = incoming.take_block()
            if block is None:
                deadline = now() + listener.data_timeout_seconds
                if listener.min_data_bytes_per_second:
                    earned = intake.size / listener.min_data_bytes_per_second
                    deadline = min(deadline, begun + listener.data_timeout_seconds + earned)
                await self._more(deadline)
                continue
            rest = intake.take(block)
            if intake.must_spill:
                await intake.spill()
            if rest is not None:
                incoming.give_back(rest)
                return

    async def _process(self, transaction: Transaction, body: Body) -> Sequence[Reply]:
        self.processing = transaction
        transaction.client_gone = self.transport is None
        try:
            return self._replies(transaction, await self.service.pipeline.process(transaction, body))
        except Exception:
            log.exception("%s: transaction failed", transaction.id)
            return self._all(INTERNAL_ERROR.tagged(transaction.id))
        finally:
            self.processing = None

    def _replies(self, transaction: Transaction, verdict: Verdict) -> Sequence[Reply]:
        """What to say after the dot."""
        return (verdict.reply,)

    def _all(self, reply: Reply) -> Sequence[Reply]:
        """What to say after the dot when `reply` holds for every recipient."""
        return (reply,)

    def _answer(self, replies: Sequence[Reply]) -> None:
        """The reply to the end of data, written at once: from here on the client can know."""
        for reply in replies:
            self._say(reply)
        self._flush()
        if any(reply.is_accept for reply in replies):
            self._budget.renew()
        elif not self.mail_session.trusted and (farewell := self._budget.error()) is not None:
            raise GoodbyeError(farewell)
