"""The out-of-office text of a mailbox: one answer to one sender in seven days (RFC 3834 2).

The answer is a job that is committed with the message and runs once the message is dealt with. Its key holds the time
of the answer before, so that two messages at the same moment bring one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select

from gateway.answers.rules import reason_for_silence
from gateway.answers.writing import answer
from gateway.directory.cache import Reads
from gateway.directory.lookup import Mailbox
from gateway.directory.service import DirectoryService
from gateway.directory.tables import auto_answer
from gateway.hooks.runner import Story
from gateway.jobs.outbox import CORE, SEND_MAIL
from gateway.mail.address import Address
from gateway.mail.message import Message
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, DeliveryPlan

SILENCE_SECONDS = 7 * 86_400.0
"""For so long a sender is not answered again."""

Effects = list[tuple[str, Any]]


class OutOfOffice:
    """Works out which mailboxes answer a message. `hostname` makes the Message-ID."""

    def __init__(self, directory: DirectoryService, store: Reads, hostname: str) -> None:
        self._directory = directory
        self._store = store
        self._hostname = hostname

    async def effects(self, message: Message, plan: DeliveryPlan, story: Story) -> Effects:
        """Jobs and records of the answers, with the owner `core`. Raises `StoreUnavailable`."""
        if not self._directory.has_answers:
            return []
        found: dict[str, Mailbox] = {}
        for recipient in plan.recipients:
            for planned in recipient.steps:
                if isinstance(planned.step, DeliverStep):
                    box = await self._directory.mailbox(planned.step.to)
                    if box is not None and box.answers_at(message.received_at):
                        found[box.id] = box
        effects: Effects = []
        for box in found.values():
            effects += await self._answer(message, box, story)
        return effects

    async def _answer(self, message: Message, box: Mailbox, story: Story) -> Effects:
        sender = message.envelope.sender
        why_not = reason_for_silence(message.headers, sender, box.addresses)
        last = 0.0
        if sender is not None and not why_not:
            last = await self._last_answer(box, sender)
            if message.received_at - last < SILENCE_SECONDS:
                why_not = f"{sender} was answered in the last seven days"
        event = {"event": "out of office", "mailbox": str(box.address)}
        if why_not or sender is None or box.out_of_office is None:
            story.append({**event, "answer": "none", "why": why_not})
            return []
        story.append({**event, "answer": f"to {sender}"})
        content = answer(
            mailbox=box.address,
            display_name=box.display_name,
            to=sender,
            subject=box.out_of_office.subject,
            text=box.out_of_office.text,
            original=message.headers,
            now=message.received_at,
            message_id=f"{message.id}.{box.id}@{self._hostname}",
        )
        payload = {
            "sender": "",
            "recipients": [str(sender)],
            "smtputf8": not (sender.is_ascii and box.address.is_ascii),
        }
        row = {"mailbox_id": box.id, "sender": sender.key, "at": message.received_at}
        return [
            (CORE, Job(SEND_MAIL, payload, f"out-of-office:{box.id}:{sender.key}:{last:.0f}", content=content)),
            (CORE, Record(auto_answer.name, row, "replace")),
        ]

    async def _last_answer(self, box: Mailbox, sender: Address) -> float:
        same = and_(auto_answer.c.mailbox_id == box.id, auto_answer.c.sender == sender.key)
        rows = await self._store.read(select(auto_answer.c.at).where(same))
        return float(rows[0].at) if rows else 0.0


def purge(connection: Connection, payloads: Sequence[float], /) -> Sequence[int]:
    """Forget answers from before these times; how many they were. For the writer's thread."""
    return [connection.execute(delete(auto_answer).where(auto_answer.c.at < before)).rowcount for before in payloads]
