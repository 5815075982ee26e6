"""DATA, and the way of every message from the wire to the pipeline and back to a reply."""
# ruff: noqa: N802

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING

from gateway.mail.body import Body
from gateway.mail.reply import (
    BAD_ARGUMENT,
    BAD_SEQUENCE,
    GO_AHEAD,
    INTERNAL_ERROR,
    NO_VALID_RECIPIENTS,
    TOO_SLOW,
    Reply,
)
from gateway.mail.transaction import Transaction
from gateway.smtp.connection import ClientGoneError, GoodbyeError, wire
from gateway.smtp.conversation import Conversation
from gateway.smtp.intake import MessageIntake
from gateway.smtp.pace import Pace

if TYPE_CHECKING:
    from gateway.pipeline import Verdict

log = logging.getLogger(__name__)

_GO_AHEAD = wire(GO_AHEAD)


class MessageTransfer(Conversation):
    """A conversation that can take messages by DATA once recipients are named."""

    async def smtp_DATA(self, argument: str) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipient_count:
            self._refuse(self._no_recipients, by_policy=self._refused_recipients)
        elif self._intake is not None:
            self._refuse(BAD_SEQUENCE.says("this message has begun with BDAT"))  # RFC 3030 3
        elif argument:
            self._refuse(BAD_ARGUMENT)
        else:
            self._out.append(_GO_AHEAD)
            await self._in_step(self._take_message(transaction))

    @property
    def _no_recipients(self) -> Reply:
        return NO_VALID_RECIPIENTS if self._refused_recipients else BAD_SEQUENCE

    async def _in_step(self, taking: Coroutine[None, None, None]) -> None:
        """A failure in the midst of a message leaves us out of step with the client: what follows is no command."""
        try:
            await taking
        except (GoodbyeError, ClientGoneError):
            raise
        except Exception as error:
            log.error("%s: taking the message failed", self._id, exc_info=error)
            raise GoodbyeError(INTERNAL_ERROR) from error

    async def _take_message(self, transaction: Transaction) -> None:
        intake = self._intake = self.service.new_intake()
        incoming = self.incoming
        pace = self._new_pace()
        while True:
            block = incoming.take_block()
            if block is None:
                await self._await_data(pace)
                continue
            rest = intake.take(block)
            if intake.must_spill:
                await intake.spill()
            if rest is not None:
                incoming.give_back(rest)
                break
        await self._finish(transaction, intake)

    def _new_pace(self) -> Pace:
        listener = self.service.listener
        return Pace(
            self.service.loop.time(),
            self.incoming.received,
            bytes_per_second=listener.min_data_bytes_per_second,
            total_seconds=listener.max_data_seconds,
        )

    async def _await_data(self, pace: Pace) -> None:
        try:
            await self._more(self._wait_until(pace))
        except GoodbyeError as goodbye:
            if goodbye.reply is TOO_SLOW:
                goodbye.reply = self._too_slow()
            raise
        pace.waited(self.service.loop.time())

    def _wait_until(self, pace: Pace) -> float:
        return pace.wait_until(self.service.loop.time(), self.incoming.received, self._allowance.data_seconds)

    def _too_slow(self) -> Reply:
        """The farewell to who did not bring the message in time."""
        transaction, intake = self._transaction, self._intake
        if transaction is None or intake is None:
            return TOO_SLOW
        self._transaction = None
        return self._turned_down(transaction, TOO_SLOW, intake)

    def _turned_down(self, transaction: Transaction, reply: Reply, intake: MessageIntake) -> Reply:
        """`reply` as it is said, once the trace has the story of a message that there is no body of."""
        if intake.event is not None:
            transaction.events.append(intake.event)
        return self.service.pipeline.refused(transaction, reply, intake.size)

    async def _finish(self, transaction: Transaction, intake: MessageIntake) -> None:
        """All of the message is here."""
        outcome = intake.finish()
        self._transaction = None
        if isinstance(outcome, Reply):
            replies = self._all(self._turned_down(transaction, outcome, intake))
        else:
            if intake.event is not None:
                transaction.events.append(intake.event)
            replies = await self._process(transaction, outcome)
        self._end_transaction()
        self._answer(replies)
        if not isinstance(outcome, Reply):
            self._answered.append((self.incoming.received, transaction))

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
        elif not self.mail_session.trusted and (farewell := self._budget.error(self._allowance)) is not None:
            raise GoodbyeError(farewell)
