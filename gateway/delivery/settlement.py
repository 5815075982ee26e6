"""Commit B: what became of a message's steps, written so that a crash costs at most one duplicate, and the reply.

Also what may be written later: that the client has seen the reply, and what was learned after the deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.delivery import verdict
from gateway.delivery.journal import Begun, Journal
from gateway.delivery.journal_rules import Decision, State
from gateway.delivery.notifications import Notifier
from gateway.delivery.verdict import Delivery
from gateway.errors import StoreUnavailable
from gateway.mail.message import Message
from gateway.mail.reply import DEADLINE_PASSED, NEXT_HOP_MISCONFIGURED, Reply
from gateway.mail.transaction import Transaction
from gateway.routing.plan import DeliverStep
from gateway.store.store import Store, Write

log = logging.getLogger("stellwerk.pipeline")

HOLD_SECONDS = 0.5
"""How long a finished step waits for its confirmation, so that one write tells both."""

_NOT_BEGUN = frozenset({DEADLINE_PASSED, NEXT_HOP_MISCONFIGURED})


@dataclass(frozen=True, slots=True)
class Answers:
    """One reply per accepted recipient in order, and SMTP's one for all."""

    reply: Reply
    replies: Sequence[Reply]


class Settlement:
    """Writes commit B and what follows it, for one process."""

    def __init__(self, store: Store, journal: Journal, notifier: Notifier, clock: Callable[[], float]) -> None:
        self._store = store
        self._journal = journal
        self._notifier = notifier
        self._clock = clock
        self._held: dict[str, tuple[float, list[Delivery]]] = {}  # with the loop time of its release, the oldest first
        self._is_timed = False
        self._stopping = False

    async def commit(
        self, transaction: Transaction, message: Message, begun: Begun, deliveries: Mapping[str, Sequence[Delivery]]
    ) -> Answers:
        """Work out the replies and write what must stand before them.

        Waited for only where losing it would cost more than one duplicate: mixed outcomes, notifications, 4xx, a
        client that is gone. Raises `StoreUnavailable` then; the writer has it still, for when the store is back.
        """
        now = self._clock()
        answered = {key: verdict.of_recipient(row) for key, row in deliveries.items()}
        replies = [answered[recipient.address.key] for recipient in message.envelope.recipients]
        reply = verdict.of_all(replies)
        told = answered if message.session.protocol == "lmtp" else dict.fromkeys(answered, reply)
        kept = [each for row in deliveries.values() for each in row if each.step.entry_id]
        later = self._notifier.writes(message, deliveries, told, now)
        if not all(each.is_temporary for each in told.values()):
            later += self._jobs_due(begun, now)
        mixed = not reply.is_accept or any(each.code != reply.code for each in replies)
        if mixed or later or transaction.client_gone:
            await self._write([*(self._finish(each, now) for each in kept if each.ran), *later])
        elif any(each.ran for each in kept):
            self._hold(transaction.id, kept)
        # Not before: who is told 451 because this could not be written has nothing to confirm.
        transaction.finished = [
            (row[0].step.entry_id, key)
            for key, row in deliveries.items()
            if row[0].step.entry_id and not told[key].is_temporary
        ]
        return Answers(reply, replies)

    def confirm(self, transaction: Transaction) -> None:
        """The client saw our reply: its finished recipients are closed."""
        now = self._clock()
        _, held = self._held.pop(transaction.id, (0.0, []))
        writes = [self._finish(each, now, closed=True) for each in held]
        written = {each.step.recipient for each in held}
        others = [(entry, recipient) for entry, recipient in transaction.finished if recipient not in written]
        writes += self._journal.close_writes(others, now)
        self._write_soon(writes)

    def correct(self, deliveries: Sequence[Delivery]) -> None:
        """The truth about steps that were unknown at the deadline; a retry that was faster is left alone."""
        now = self._clock()
        self._write_soon(
            [self._journal.correct_write(d.step, d.state, d.reply, now) for d in deliveries if d.step.entry_id]
        )

    def release(self) -> None:
        """Hand everything that is held to the writer, and hold nothing from now on. For a clean stop."""
        self._stopping = True
        for transaction_id in list(self._held):
            self._release(transaction_id)

    def _hold(self, transaction_id: str, finished: list[Delivery]) -> None:
        """All steps of the recipients are held, those that had nothing to run too: they are closed together."""
        loop = asyncio.get_running_loop()
        self._held[transaction_id] = loop.time() + HOLD_SECONDS, finished
        if self._stopping:
            self._release(transaction_id)
        elif not self._is_timed:  # one timer for all: nearly every message is confirmed before
            self._is_timed = True
            loop.call_later(HOLD_SECONDS, self._release_due, loop)

    def _release_due(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for transaction_id in [name for name, (at, _) in self._held.items() if at <= now]:
            self._release(transaction_id)
        following = next(iter(self._held.values()), None)
        self._is_timed = following is not None
        if following is not None:
            loop.call_later(max(following[0] - now, 0.0), self._release_due, loop)

    def _release(self, transaction_id: str) -> None:
        now = self._clock()
        _, held = self._held.pop(transaction_id, (0.0, []))
        self._write_soon([self._finish(each, now) for each in held if each.ran])

    async def _write(self, writes: list[Write]) -> None:
        if not writes:
            return
        try:
            await self._store.write(writes)
        except StoreUnavailable:
            # The sender will try again. What was handed on meanwhile must be known by then.
            self._write_soon(writes)
            raise

    def _write_soon(self, writes: list[Write]) -> None:
        if not writes:
            return
        try:
            self._store.write_soon(writes, on_error=_log_lost_write)
        except StoreUnavailable as error:
            _log_lost_write(error)

    def _finish(self, delivery: Delivery, now: float, *, closed: bool = False) -> Write:
        # A step that was not begun by the deadline, or was never ours to hand on, may be planned anew.
        attempted = delivery.ran and isinstance(delivery.step.step, DeliverStep) and delivery.reply not in _NOT_BEGUN
        return self._journal.finish_write(
            delivery.step, delivery.state, delivery.reply, attempted=attempted, now=now, closed=closed
        )

    def _jobs_due(self, begun: Begun, now: float) -> list[Write]:
        """The message is dealt with: jobs that waited for it may run. Only a retry may have some from earlier."""
        if not begun.has_jobs and set(begun.decisions.values()) <= {Decision.NEW}:
            return []
        return [self._journal.jobs_due_write(entry, now) for entry in begun.entry_ids if entry]


def settled_as(delivery: Delivery, state: State, reply: Reply) -> Delivery:
    """The same step with another outcome."""
    return Delivery(delivery.step, state, reply, delivery.ran, delivery.result)


def _log_lost_write(error: BaseException) -> None:
    log.warning("the journal could not be written, a retry will tell: %s", error)
