"""Which delivery status notifications a message owes its sender (RFC 3461), as `send_mail` jobs; `dsn` words them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from gateway.delivery.dsn import Action, ReportedRecipient, notification
from gateway.delivery.journal_rules import State
from gateway.delivery.transport import NextHop
from gateway.delivery.verdict import Delivery
from gateway.jobs.outbox import CORE, SEND_MAIL, add_write
from gateway.mail.envelope import Recipient
from gateway.mail.ids import new_id
from gateway.mail.message import Message
from gateway.mail.reply import Reply
from gateway.routing.effects import Job
from gateway.routing.plan import DeliverStep
from gateway.store.store import Write

MAX_RETURNED_BYTES = 1_048_576
"""A larger message is returned as its header only, whatever RET asks for."""


@dataclass(frozen=True, slots=True)
class _Due:
    """One recipient's line in one notification."""

    report: ReportedRecipient
    recipient: str
    entry_id: str


class Notifier:
    """Works out notifications. Never any for the null sender; NOTIFY decides for each recipient."""

    def __init__(self, hostname: str, next_hops: Mapping[str, NextHop], make_id: Callable[[], str] = new_id) -> None:
        self._hostname = hostname
        self._next_hops = next_hops
        self._make_id = make_id

    def writes(
        self, message: Message, deliveries: Mapping[str, Sequence[Delivery]], told: Mapping[str, Reply], now: float
    ) -> list[Write]:
        """Jobs to commit before the reply. `told`: what the client will hear of each recipient.

        A recipient that the client is told to be accepted is ours: its refused copies are reported by us, once,
        whatever is retried. What the client is told to have failed, it reports itself.
        """
        sender = message.envelope.sender
        if sender is None:
            return []
        due: list[_Due] = []
        for recipient in message.envelope.recipients:
            key = recipient.address.key
            rows = deliveries[key]
            if told[key].is_accept:
                due += self._failures(recipient, rows)
            due += self._successes(recipient, rows)
        due.sort(key=_action)
        return [self._write(message, action, list(group), now) for action, group in groupby(due, _action)]

    def _failures(self, recipient: Recipient, rows: Sequence[Delivery]) -> list[_Due]:
        if not recipient.notify_failure:
            return []
        return [self._due(Action.FAILED, recipient, row) for row in rows if row.state is State.REFUSED]

    def _successes(self, recipient: Recipient, rows: Sequence[Delivery]) -> list[_Due]:
        """`expanded` for a fan-out; else what this hop knows: `delivered` into a mail store, `relayed` onward."""
        copies = [row for row in rows if isinstance(row.step.step, DeliverStep)]
        done = [row for row in copies if row.state is State.DONE]
        if not recipient.notify_success or not done or not any(row.ran for row in copies):
            return []
        if len(copies) > 1:
            finished = all(row.state.is_final for row in rows)
            return [self._due(Action.EXPANDED, recipient, done[0])] if finished else []
        row = done[0]
        if row.result is not None and row.result.dsn_passed_on:
            return []
        return [self._due(self._success(row), recipient, row)]

    def _success(self, row: Delivery) -> Action:
        step = row.step.step
        hop = self._next_hops.get(step.via) if isinstance(step, DeliverStep) else None
        return Action.RELAYED if hop is None or hop.kind == "smtp" else Action.DELIVERED

    def _due(self, action: Action, recipient: Recipient, row: Delivery) -> _Due:
        step = row.step.step
        final = step.to if isinstance(step, DeliverStep) and action is not Action.EXPANDED else recipient.address
        reply = row.reply if action is Action.FAILED else None
        report = ReportedRecipient(final, action, reply, recipient.orcpt)
        return _Due(report, recipient.address.key, row.step.entry_id)

    def _write(self, message: Message, action: Action, due: Sequence[_Due], now: float) -> Write:
        envelope = message.envelope
        assert envelope.sender is not None
        parameters = envelope.parameters
        full = parameters.ret == "FULL" and action is Action.FAILED and len(message.body) <= MAX_RETURNED_BYTES
        content = notification(
            to=envelope.sender,
            recipients=[each.report for each in due],
            original=message.body.read(0, len(message.body)) if full else message.body.header_block,
            full=full,
            reporting_mta=self._hostname,
            now=now,
            message_id=f"{self._make_id()}@{self._hostname}",
            envid=parameters.envid,
            arrived=message.received_at,
            transaction=message.id,
            smtputf8=parameters.smtputf8,
        )
        job = Job(
            kind=SEND_MAIL,
            payload={"sender": "", "recipients": [str(envelope.sender)], "smtputf8": parameters.smtputf8},
            key=_key(action, due, message),
            owner=CORE,
            content=content,
        )
        return add_write(self._make_id(), job, now)


def _action(due: _Due) -> Action:
    return due.report.action


def _key(action: Action, due: Sequence[_Due], message: Message) -> str:
    """The same for every attempt on the same entry, so that a lost reply does not report twice."""
    entry = due[0].entry_id or message.id
    copies = ",".join(sorted(f"{each.recipient}>{each.report.final.key}" for each in due))
    return f"{entry}:{action}:{hashlib.sha256(copies.encode()).hexdigest()[:16]}"
