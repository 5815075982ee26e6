"""Runs the very chain of the live gateway on a message and tells what would happen, with nothing happening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

from gateway.app import Gateway
from gateway.config.listener import ListenerConfig
from gateway.delivery import verdict
from gateway.delivery.journal import settle
from gateway.delivery.journal_rules import State
from gateway.errors import ConfigError
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.data import DataDecoder
from gateway.mail.edits import Edits
from gateway.mail.envelope import BEHIND_A_MAIL_SERVER, Client, MailParameters, Recipient, Session
from gateway.mail.ids import new_id
from gateway.mail.message import TagValue
from gateway.mail.path import PathError, recipient_address, sender_address
from gateway.mail.reply import (
    ACCEPTED,
    AUTHENTICATION_NEEDED,
    BARE_NEWLINE,
    INTERNAL_ERROR,
    LINE_TOO_LONG,
    TOO_BIG,
    Reply,
)
from gateway.mail.transaction import Transaction
from gateway.routing.plan import DeliverStep, DeliveryPlan
from gateway.trace import session_json


@dataclass(frozen=True, slots=True)
class Question:
    """A message as it would come in: recipients as RCPT would name them, without angle brackets.

    `sender` is as MAIL would name it, or an address already; None is the null sender. `content` has CRLF line ends;
    `listener` is empty for the first one, with a `login` the first for submission.
    """

    sender: Address | str | None
    recipients: Sequence[str]
    content: bytes
    listener: str = ""
    client: str = "127.0.0.1"
    helo: str = "localhost"
    login: str = ""
    """Who has logged in, on a submission listener."""


@dataclass(slots=True)
class Explanation:
    """What would happen. `recipients` are the accepted ones; `refused` has the others and the reply to their RCPT."""

    session: Session
    sender: str
    recipients: list[str]
    reply: Reply = ACCEPTED
    replies: list[Reply] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    plan: DeliveryPlan | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    tags: Mapping[str, TagValue] = field(default_factory=dict)
    size: int = 0

    def to_json(self) -> dict[str, Any]:
        """`plan` and `reply` equal those in the trace of the real thing, but for ids and the next hop's own words."""
        return {
            "session": session_json(self.session),
            "sender": self.sender,
            "recipients": self.recipients,
            "refused": {recipient: reply.to_json() for recipient, reply in self.refused.items()},
            "tags": dict(self.tags),
            "size": self.size,
            "events": self.events,
            "plan": None if self.plan is None else self.plan.to_json(),
            "reply": self.reply.to_json(),
            "replies": [reply.to_json() for reply in self.replies],
        }


async def explain(gateway: Gateway, question: Question) -> Explanation:
    """Walk the message up to its finished plan.

    Raises `ConfigError` when the listener does not exist, `StoreUnavailable`.
    """
    listener = _listener(gateway, question)
    await gateway.look()
    session = _session(listener, question)
    if listener.role == "submission":
        session = replace(session, identity=await gateway.submission.person(question.login))
    sender = "" if question.sender is None else str(question.sender)
    told = Explanation(session, sender, [])
    refusal = await gateway.planner.connect(session, told.events)
    told.tags = session.tags
    if refusal is None and listener.role == "submission" and session.identity is None:
        refusal = AUTHENTICATION_NEEDED
        if question.login:
            told.events.append(
                {"event": "login", "who": question.login, "why": "there is no active person of that address"}
            )
    if refusal is None:
        await _transaction(gateway, listener, session, question, told)
    else:
        told.reply = refusal
    return told


async def _transaction(
    gateway: Gateway, listener: ListenerConfig, session: Session, question: Question, told: Explanation
) -> None:
    planner = gateway.planner
    smtputf8 = not all(text.isascii() for text in (*question.recipients, told.sender))
    parameters = MailParameters(size=len(question.content), smtputf8=smtputf8)
    try:
        sender = sender_address(question.sender) if isinstance(question.sender, str) else question.sender
    except PathError as error:
        told.reply = error.reply
        return
    transaction, refusal = await planner.mail(session, sender, parameters)
    told.tags = transaction.tags
    if refusal is not None:
        told.events += transaction.events
        told.reply = refusal
        return
    for path in question.recipients:
        try:
            recipient = Recipient(recipient_address(path, gateway.config.server.hostname))
            reply = await planner.rcpt(transaction, recipient)
        except PathError as error:
            reply = error.reply
        if not reply.is_accept:
            told.refused[path] = reply
    told.recipients = [str(recipient.address) for recipient in transaction.recipients]
    if not transaction.recipient_count:
        told.events += transaction.events
        told.reply = next(iter(told.refused.values()), INTERNAL_ERROR)
        return
    told.reply = await _message(gateway, listener, transaction, question.content, told)
    told.events[:0] = transaction.events


async def _message(
    gateway: Gateway, listener: ListenerConfig, transaction: Transaction, content: bytes, told: Explanation
) -> Reply:
    taken = _take(gateway, listener, content, told)
    if isinstance(taken, Reply):
        return taken
    told.size = len(taken)
    message = gateway.planner.message(transaction, taken, gateway.clock())
    planned = await gateway.planner.plan(transaction, message, told.events)
    if planned.plan is None:
        return planned.refusal or INTERNAL_ERROR
    told.plan = planned.plan
    told.replies = [_reply(recipient.steps) for recipient in planned.plan.recipients]
    return verdict.combine([(reply.is_accept, reply) for reply in told.replies])


def _take(gateway: Gateway, listener: ListenerConfig, content: bytes, told: Explanation) -> MemoryBody | Reply:
    """What the edge would do with these bytes."""
    limits = gateway.config.limits
    largest = listener.max_message_bytes or limits.max_message_bytes
    decoder = DataDecoder(normalise=listener.normalises_newlines, max_line_bytes=limits.max_line_bytes)
    wire = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    body = decoder.feed(wire if wire.endswith(b"\r\n") else wire + b"\r\n") + decoder.feed(b".\r\n")
    if len(body) > largest:
        return TOO_BIG.says(f"the message has {len(body)} octets, the limit is {largest}")
    if decoder.has_strays and not listener.normalises_newlines:
        return BARE_NEWLINE
    if decoder.line_too_long:
        return LINE_TOO_LONG
    if decoder.has_strays:
        told.events.append(
            {"event": "normalised", "cr": decoder.stray_cr, "lf": decoder.stray_lf, "nul": decoder.stray_nul}
        )
    return MemoryBody(body)


def _reply(steps: Sequence[Any]) -> Reply:
    """The recipient's reply if every next hop says 250."""
    rows = []
    for planned in steps:
        state, reply = (State.DONE, ACCEPTED) if isinstance(planned.step, DeliverStep) else settle(planned.step)
        rows.append((state is State.DONE, reply))
    return verdict.combine(rows)


def _listener(gateway: Gateway, question: Question) -> ListenerConfig:
    listeners = gateway.config.listeners
    submission = [each for each in listeners if each.role == "submission"]
    if not question.listener:
        listener = next(iter(submission if question.login else []), listeners[0])
    else:
        named = gateway.config.listener(question.listener)
        if named is None:
            there = ", ".join(each.name for each in listeners)
            raise ConfigError([f"there is no listener {question.listener!r}; there are: {there}"])
        listener = named
    if question.login and listener.role != "submission":
        there = ", ".join(each.name for each in submission) or "none is configured"
        raise ConfigError(
            [f"nobody logs in on the listener {listener.name} ({listener.role}); those for submission: {there}"]
        )
    return listener


def _session(listener: ListenerConfig, question: Question) -> Session:
    client = Client(address=question.client, helo=question.helo)
    return Session(
        id=new_id(),
        listener=listener.name,
        protocol=listener.protocol,
        role=listener.role,
        direction=listener.direction,
        peer=client,
        client=client,
        helo=question.helo,
        hides_client=listener.hide_client,
        trusted=listener.role in BEHIND_A_MAIL_SERVER or _is_in(question.client, listener.trusted_peers),
    )


def _is_in(client: str, networks: Sequence[str]) -> bool:
    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in networks)


def changed_bytes(edits: Edits) -> str:
    """One line on what happens to the message's own bytes."""
    if not edits.splices:
        return "body and signed headers untouched"
    if not edits.may_break_dkim:
        return f"{len(edits.splices)} header field(s) changed, none of them signed"
    return f"signed header changed: {', '.join(edits.may_break_dkim)}"
