"""What the client is told, worked out from what happened to each step. Pure; docs/flow.md has the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.delivery.journal import StoredStep
from gateway.delivery.journal_rules import State
from gateway.delivery.transport import Result
from gateway.mail.reply import ACCEPTED, INTERNAL_ERROR, Reply


@dataclass(slots=True)
class Delivery:
    """What happened to one step of this transaction. `ran`: it was attempted here and now."""

    step: StoredStep
    state: State
    reply: Reply
    ran: bool = False
    result: Result | None = None


def of_recipient(deliveries: Sequence[Delivery]) -> Reply:
    """One recipient with its copies: any 4xx makes it 4xx; refused only when every copy is refused."""
    return combine([(each.state is State.DONE, each.reply) for each in deliveries])


def of_all(replies: Sequence[Reply]) -> Reply:
    """SMTP's one reply for all recipients, by the same rule."""
    return combine([(reply.is_accept, reply) for reply in replies])


def combine(answers: Iterable[tuple[bool, Reply]]) -> Reply:
    """One reply for several (done, reply) pairs."""
    rows = list(answers)
    temporary = [reply for done, reply in rows if not done and not reply.is_permanent]
    if temporary:
        return temporary[0] if temporary[0].is_temporary else INTERNAL_ERROR
    done = [reply for done, reply in rows if done]
    if not done:
        return rows[0][1] if rows else INTERNAL_ERROR
    return done[0] if len(rows) == 1 else ACCEPTED
