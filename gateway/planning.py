"""Decides what will happen to a message and does none of it. The pipeline carries plans out; `explain` prints them.

Every method is a step of the walk up to the finished plan: commands, hooks, routes, edits.
"""

from __future__ import annotations

import json
import logging
from asyncio import to_thread
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import Message as ParsedMessage
from functools import partial
from typing import cast

from gateway.answers.out_of_office import OutOfOffice
from gateway.config.models import Config
from gateway.directory.lookup import Mailbox
from gateway.directory.service import DirectoryService
from gateway.errors import StoreUnavailable
from gateway.hooks.registry import Accept
from gateway.hooks.runner import Call, PluginFailure, Runner, Story
from gateway.hosting import Hosting
from gateway.mail.address import Address
from gateway.mail.authentication_results import NO_SERVERS, Authentication, TrustedServers
from gateway.mail.body import MAX_HEADER_BLOCK, Body
from gateway.mail.edits import EditError
from gateway.mail.envelope import BEHIND_A_MAIL_SERVER, MailParameters, Recipient, Session, tag_session
from gateway.mail.ids import new_id
from gateway.mail.message import Message, Tag, TagValue
from gateway.mail.reply import (
    MAIL_LOOP,
    PLUGIN_FAILED,
    RECIPIENT_OK,
    RELAY_DENIED,
    STORE_DOWN,
    TOO_BIG,
    Reply,
)
from gateway.mail.stamp import LOOPS_ALLOWED, Inspection, Stamp
from gateway.mail.structure import copied, parse
from gateway.mail.transaction import Transaction
from gateway.routing.annotation import annotated
from gateway.routing.plan import DeliveryPlan
from gateway.routing.resolver import Limits, Resolver, TooManyRecipients
from gateway.routing.route import Route
from gateway.routing.soundness import flaw_of_plan, flaw_of_route
from gateway.submission.service import Submission

log = logging.getLogger("stellwerk.plugins")

# The story of a message stays small, whatever stands in its header.
_MOST_TOLD_RESULTS = 20
_LONGEST_TOLD_RESULT = 300


@dataclass(frozen=True, slots=True)
class Planned:
    """What was decided at the end of data: a plan, or the reply that refuses the message for everybody."""

    message: Message
    plan: DeliveryPlan | None
    refusal: Reply | None = None


class Planner:
    """The deciding half of the message walk, for one configuration."""

    def __init__(
        self,
        config: Config,
        runner: Runner,
        directory: DirectoryService,
        stamp: Stamp,
        out_of_office: OutOfOffice | None = None,
        *,
        submission: Submission | None = None,
    ) -> None:
        """Without `submission` nobody sends on submission listeners."""
        self._config = config
        self._runner = runner
        self._directory = directory
        self._stamp = stamp
        self._out_of_office = out_of_office
        self._submission = submission
        self._trusted_servers = {
            listener.name: TrustedServers(frozenset(listener.trusted_authserv_ids), listener.trusted_received)
            for listener in config.listeners
            if listener.trusted_authserv_ids
        }
        self._hosting = Hosting(config, directory)
        self._routes = runner.chain("route_recipient")
        self.asks_plugins = any(
            runner.chain(hook) for hook in ("message_received", "route_recipient", "message_annotate", "plan_review")
        ) or any(listener.role == "submission" for listener in config.listeners)
        """Whether `plan` waits for anybody; if not, it needs no time limit."""

    async def connect(self, session: Session, story: Story) -> Reply | None:
        """The refusal of a new connection, if any."""
        if not self._runner.chain("smtp_connect"):
            return None
        try:
            outcome = await self._runner.until_rejection("smtp_connect", story, session=session)
        except PluginFailure:
            return PLUGIN_FAILED
        tag_session(session, outcome.tags)
        return outcome.answer if isinstance(outcome.answer, Reply) else None

    async def mail(
        self, session: Session, sender: Address | None, parameters: MailParameters
    ) -> tuple[Transaction, Reply | None]:
        """A new transaction and, when MAIL is refused, the refusal."""
        transaction = Transaction(new_id(), session, sender, parameters)
        if session.tags:
            transaction.tag(session.tags)
        if session.role == "submission":
            refusal = await self._submitting().mail(session, sender)
            if refusal is not None:
                return transaction, refusal
        if not self._runner.chain("smtp_mail"):
            return transaction, None
        try:
            outcome = await self._runner.until_rejection(
                "smtp_mail",
                transaction.events,
                session=session,
                sender=sender,
                size=parameters.size,
                params=parameters,
            )
        except PluginFailure:
            return transaction, PLUGIN_FAILED
        transaction.tag(outcome.tags)
        return transaction, outcome.answer

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        """Take the recipient into the transaction, or say why not."""
        if transaction.has(recipient):
            return RECIPIENT_OK
        story: Story = []
        try:
            reply = await self._rcpt(transaction, recipient, story)
        except PluginFailure:
            reply = PLUGIN_FAILED
        except StoreUnavailable as error:
            log.error("%s the directory cannot be asked: %s", transaction.id, error)
            reply = STORE_DOWN
        noted = [event for event in story if "answer" in event or "error" in event]
        if noted or not reply.is_accept:
            address = str(recipient.address)
            transaction.events.append({"event": "rcpt", "recipient": address, "reply": str(reply), "hooks": noted})
        if reply.is_accept:
            transaction.accept(recipient)
        return reply

    async def _rcpt(self, transaction: Transaction, recipient: Recipient, story: Story) -> Reply:
        arguments = {"transaction": transaction.seen, "recipient": recipient}
        if transaction.session.role == "submission":
            refusal = self._submitting().recipient(transaction.session)
            if refusal is not None:
                return refusal
        suspended = self._directory.refusal(recipient.address.domain)
        if suspended is not None:
            return suspended
        mailbox = await self._directory.mailbox(recipient.address)
        off = _switched_off(mailbox)
        if self._runner.chain("smtp_rcpt_check"):
            checked = await self._runner.until_rejection("smtp_rcpt_check", story, transaction.tag, off, **arguments)
            if checked.answer is not None:
                return _reply(checked.answer)
        if self._runner.chain("smtp_rcpt_claim"):
            claimed = await self._runner.first_answer("smtp_rcpt_claim", story, off, **arguments)
            if isinstance(claimed.answer, Accept):
                return RECIPIENT_OK
            if claimed.answer is not None:
                return _reply(claimed.answer)
        return await self._claim(transaction, recipient.address, mailbox)

    async def _claim(self, transaction: Transaction, address: Address, mailbox: Mailbox | None) -> Reply:
        """The core's own answer, asked last: hosted mailboxes, then what the listener's role allows."""
        answer = self._hosting.claim(address, mailbox)
        if answer is not None:
            return answer
        session, outbound = transaction.session, self._config.routing.outbound
        if session.role == "submission":
            outbound = await self._submitting().relay(session, transaction.sender) or outbound
        elif session.role not in BEHIND_A_MAIL_SERVER:
            outbound = ""
        return RECIPIENT_OK if outbound else RELAY_DENIED

    def _submitting(self) -> Submission:
        if self._submission is None:
            raise StoreUnavailable("this process takes no submissions")
        return self._submission

    def message(self, transaction: Transaction, body: Body, at: float) -> Message:
        """The finished message. Its tags are the transaction's: hooks see what hooks before them set."""
        return Message(
            transaction.id,
            transaction.envelope(),
            transaction.session,
            body,
            at,
            transaction.tags,
            parser=parse_in_a_thread,
            copier=copy_in_a_thread,
            trusted_servers=self._servers_in_front(transaction.session),
        )

    def _servers_in_front(self, session: Session) -> TrustedServers:
        """Whose results count: nobody's where anybody may speak, for there nobody has removed the forged ones."""
        if not self._trusted_servers or not session.trusted:
            return NO_SERVERS
        return self._trusted_servers.get(session.listener, NO_SERVERS)

    async def plan(self, transaction: Transaction, message: Message, story: Story) -> Planned:
        """Everything that is decided once the message is complete. Hooks see and leave no side effect."""
        if message.body.header_is_too_long:
            # Loops and forged fields of ours cannot be seen in it, so it must not pass.
            return Planned(message, None, TOO_BIG.says(f"the header is too big, at most {MAX_HEADER_BLOCK} octets"))
        session = message.session
        # Only what people submit gets a Message-ID.
        new_message_id = self._stamp.message_id(message.id) if session.role == "submission" else ""
        inspection = self._stamp.inspect(message.body.header_block, session.listener, new_message_id)
        if inspection.removed:
            story.append(
                {"event": "removed", "fields": list(inspection.removed), "why": "only this gateway writes them"}
            )
        if message.trusted_servers.authserv_ids:
            story.append(_authentication(message.authentication))
        refusal = self._loop(inspection)
        if refusal is not None:
            return Planned(message, None, refusal)
        outbound = self._config.routing.outbound
        if session.role == "submission":
            prepared = await self._submitting().prepare(message, inspection.edits, story)
            if isinstance(prepared, Reply):
                return Planned(message, None, prepared)
            inspection = replace(inspection, edits=prepared.edits)
            outbound = prepared.via or outbound
        try:
            if self._runner.chain("message_received"):
                received = await self._runner.until_rejection(
                    "message_received", story, transaction.tag, message=message
                )
                if received.answer is not None:
                    return Planned(message, None, _reply(received.answer))
            return await self._route_and_annotate(transaction, message, inspection, outbound, story)
        except PluginFailure:
            return Planned(message, None, PLUGIN_FAILED)
        except TooManyRecipients as error:
            story.append({"event": "too many recipients", "limit": self._config.routing.max_recipients})
            return Planned(message, None, error.reply)

    async def _route_and_annotate(
        self, transaction: Transaction, message: Message, inspection: Inspection, outbound: str, story: Story
    ) -> Planned:
        """`outbound` is the next hop for recipients elsewhere, empty for none."""
        envelope = message.envelope
        most = self._most_steps(len(envelope.recipients))
        resolver = Resolver(
            [call.plugin for call in self._routes],
            partial(self._hosting.route, outbound),
            Limits(self._config.routing.max_hops, most),
            inspection.edits,
        )
        recipients = await resolver.resolve(envelope.recipients, envelope.sender, partial(self._ask, message, story))
        plan = DeliveryPlan(tuple(recipients), inspection.edits)
        effects: list[tuple[str, object]] = []
        if self._runner.chain("message_annotate"):
            effects = await self._runner.collect("message_annotate", story, message=message, plan=plan)
            transaction.tag(_tags(effects))
        if self._out_of_office is not None:
            effects += await self._out_of_office.effects(message, plan, story)
        try:
            plan = annotated(plan, message, effects)
        except EditError as error:
            log.warning("%s a plugin's header cannot be written: %s", message.id, error)
            story.append({"event": "header refused", "error": str(error)})
            return Planned(message, None, PLUGIN_FAILED)
        for call in self._runner.chain("plan_review"):
            arguments = {"message": message, "plan": _own_copy(plan)}
            reviewed = await self._runner.invoke(call, arguments, story)
            if isinstance(reviewed, Reply) and not reviewed.is_accept:  # a 250 here would lose the message
                return Planned(message, None, reviewed)
            if not isinstance(reviewed, DeliveryPlan):
                continue
            flaw = flaw_of_plan(reviewed, message, {*self._config.next_hops, outbound} - {""})
            if flaw is not None:
                self._overrule(call, flaw, story)
                continue
            if sum(len(each.steps) for each in reviewed.recipients) > most:
                raise TooManyRecipients
            jobs = tuple(job if job.owner else replace(job, owner=call.plugin) for job in reviewed.jobs)
            plan = replace(reviewed, jobs=jobs)
        return Planned(message, plan)

    async def _ask(self, message: Message, story: Story, index: int, address: Address) -> Route | None:
        call = self._routes[index]
        mailbox = await self._directory.mailbox(address)
        if mailbox is not None and call.plugin in _switched_off(mailbox):
            where = f"{mailbox.organisation}/{mailbox.context}"
            story.append({"event": "switched off", "plugin": call.plugin, "context": where, "recipient": str(address)})
            return None
        arguments = {"message": message, "recipient": address}
        route = cast("Route | None", await self._runner.invoke(call, arguments, story))
        flaw = None if route is None else flaw_of_route(route, self._config.next_hops)
        if flaw is None:
            return route
        self._overrule(call, flaw, story)
        return None

    def _overrule(self, call: Call, flaw: str, story: Story) -> None:
        """An answer of the right type that cannot be carried out: the plugin's failure. None of it counts."""
        policy = call.policy.on_error
        story[-1] |= {"error": flaw, "on_error": policy}
        log.warning("plugin %s failed in %s (%s): %s", call.plugin, call.hook, policy, flaw)
        if policy == "tempfail":
            raise PluginFailure(call.plugin, call.hook, flaw)

    def _most_steps(self, named: int) -> int:
        """Mail to many may double: they were accepted, and one forwarded copy more must not defer them for ever."""
        return max(self._config.routing.max_recipients, 2 * named)

    def _loop(self, inspection: Inspection) -> Reply | None:
        limit = self._config.limits.max_received
        if inspection.received > limit:
            return MAIL_LOOP.says(f"mail loop: {inspection.received} Received fields, at most {limit}")
        if inspection.loops > LOOPS_ALLOWED:
            return MAIL_LOOP.says("mail loop: this gateway sent the message to itself")
        return None


def _switched_off(mailbox: Mailbox | None) -> frozenset[str]:
    """Plugins that the mailbox's context has switched off: they are not asked about it."""
    if mailbox is None or not mailbox.plugins:
        return frozenset()
    return frozenset(name for name, enabled in mailbox.plugins.items() if not enabled)


def _reply(answer: object) -> Reply:
    if isinstance(answer, Reply):
        return answer
    raise TypeError(f"{type(answer).__name__} is no reply")


def _authentication(found: Authentication) -> dict[str, object]:
    told = [str(result)[:_LONGEST_TOLD_RESULT] for result in found.results[:_MOST_TOLD_RESULTS]]
    ignored = {"ignored_fields": found.ignored} if found.ignored else {}
    return {"event": "authentication", "results": told or "none", **ignored}


def _tags(effects: list[tuple[str, object]]) -> Mapping[str, TagValue]:
    return {f"{plugin}.{effect.name}": effect.value for plugin, effect in effects if isinstance(effect, Tag)}


def _own_copy(plan: DeliveryPlan) -> DeliveryPlan:
    """For one plugin: what records and jobs carry can be changed in place, the rest of a plan cannot."""
    if not plan.records and not plan.jobs:
        return plan
    records = tuple(replace(each, row=json.loads(json.dumps(dict(each.row)))) for each in plan.records)
    jobs = tuple(replace(each, payload=json.loads(json.dumps(dict(each.payload)))) for each in plan.jobs)
    return replace(plan, records=records, jobs=jobs)


async def parse_in_a_thread(body: Body) -> ParsedMessage | None:
    return await to_thread(parse, body)


async def copy_in_a_thread(tree: ParsedMessage) -> ParsedMessage:
    return await to_thread(copied, tree)
