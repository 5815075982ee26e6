"""The verbs that bring a message, and its way from the wire to the pipeline and back to a reply."""
# ruff: noqa: N802

from __future__ import annotations

import logging
from collections.abc import Sequence
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

if TYPE_CHECKING:
    from gateway.pipeline import Verdict

log = logging.getLogger(__name__)

_GO_AHEAD = wire(GO_AHEAD)


class MessageTransfer(Conversation):
    """A conversation that can take messages once recipients are named."""

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
