"""The message walk, readable from top to bottom: decide, commit, hand on, answer, remember.

What is decided stands in `planning`; what was handed on before, in `delivery.journal`. docs/flow.md tells it all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.models import Config
from gateway.delivery.executor import Executor
from gateway.delivery.journal import Begin, Begun, Journal, StoredStep, settle
from gateway.delivery.journal_rows import EffectFailed
from gateway.delivery.journal_rules import Decision, State
from gateway.delivery.settlement import Settlement, settled_as
from gateway.delivery.transport import Outcome, Result
from gateway.delivery.verdict import Delivery
from gateway.errors import StoreUnavailable
from gateway.hooks.runner import Runner
from gateway.jobs.held import HeldMail
from gateway.mail.address import Address
from gateway.mail.body import Body
from gateway.mail.envelope import Credentials, Identity, MailParameters, Recipient, Session
from gateway.mail.ids import new_id
from gateway.mail.message import Message
from gateway.mail.reply import (
    DEADLINE_PASSED,
    INTERNAL_ERROR,
    PLUGIN_FAILED,
    STILL_BEING_DELIVERED,
    STORE_DOWN,
    Reply,
)
from gateway.mail.stamp import Stamp
from gateway.mail.transaction import Transaction
from gateway.planning import Planned, Planner
from gateway.routing.plan import DeliverStep, DeliveryPlan
from gateway.routing.route import Hold, Refuse
from gateway.submission.service import Submission
from gateway.trace import Story, Tracer

log = logging.getLogger("stellwerk.pipeline")

_STATES = {
    Outcome.DONE: State.DONE,
    Outcome.REFUSED: State.REFUSED,
    Outcome.DEFERRED: State.DEFERRED,
    Outcome.UNKNOWN: State.UNKNOWN,
}
_HOOKS = {State.DONE: "delivery_succeeded", State.REFUSED: "delivery_failed"}
# A lease outlives the deadline, so that a retry never meets a first attempt which is about to be given up.
_LEASE_MARGIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to the end of data: `replies` one per accepted recipient in order (LMTP), `reply` one for all (SMTP).

    All of them end with the transaction id in brackets.
    """

    reply: Reply
    replies: tuple[Reply, ...]


@dataclass(slots=True)
class _Walk:
    """One message on its way through `process`."""

    transaction: Transaction
    message: Message
    story: Story
    deadline: float
    begun: Begun = field(default_factory=Begun)
    deliveries: dict[str, list[Delivery]] = field(default_factory=dict)
    late: list[Delivery] = field(default_factory=list)
    """What was learned after the deadline. It corrects what commit B wrote, and so must come after it."""
    settled: bool = False


class Pipeline:
    """What the edge calls, command by command. No method raises for a plugin's, the store's or a next hop's trouble."""

    def __init__(
        self,
        config: Config,
        planner: Planner,
        runner: Runner,
        journal: Journal,
        executor: Executor,
        settlement: Settlement,
        stamp: Stamp,
        tracer: Tracer,
        submission: Submission,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._planner = planner
        self._runner = runner
        self._journal = journal
        self._executor = executor
        self._settlement = settlement
        self._stamp = stamp
        self._tracer = tracer
        self._submission = submission
        self._clock = clock
        self._deadlines = {listener.name: listener.deadline_seconds for listener in config.listeners}
        self._tells_plugins = any(
            runner.chain(hook) for hook in ("delivery_succeeded", "delivery_deferred", "delivery_failed")
        )
        self._afterwards: set[asyncio.Task[None]] = set()

    async def connect(self, session: Session) -> Reply | None:
        """Before the greeting. A Reply refuses the connection (it is sent instead of the greeting)."""
        events: list[dict[str, Any]] = []
        return await self._planner.connect(session, events)

    async def authenticate(self, session: Session, credentials: Credentials) -> Identity | Reply:
        """AUTH. Who it is, or the refusal."""
        return await self._submission.authenticate(session, credentials)

    async def mail(self, session: Session, sender: Address | None, parameters: MailParameters) -> Transaction | Reply:
        """MAIL FROM. A Transaction when accepted, else the refusal."""
        transaction, refusal = await self._planner.mail(session, sender, parameters)
        if refusal is None:
            return transaction
        return self._tell(Story(transaction, self._clock()), refusal).reply

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        """RCPT TO. 250 takes the recipient into the transaction (a repeated one once); else the refusal."""
        reply = await self._planner.rcpt(transaction, recipient)
        return reply if reply.is_accept else reply.tagged(transaction.id)

    def refused(self, transaction: Transaction, reply: Reply, size: int) -> Reply:
        """The edge refuses the message itself at the end of data (too big, bare newline, line too long, too slow).

        `size`: octets received. Gives the reply tagged with the id; the trace keeps the story.
        """
        return self._tell(Story(transaction, self._clock(), size), reply).reply

    def abandon(self, transaction: Transaction) -> None:
        """RSET, EHLO, QUIT or a lost connection before the end of data: worth a story when something was refused."""
        if any(event.get("event") in {"rcpt", "refused"} for event in transaction.events):
            self._tracer.keep(Story(transaction, self._clock()))

    def confirm(self, transaction: Transaction) -> None:
        """The client has seen our reply to its final dot: a command arrived that was not pipelined before it."""
        self._settlement.confirm(transaction)

    async def process(self, transaction: Transaction, body: Body) -> Verdict:
        """The message is complete. Always finishes, whatever the client does.

        `body` is given back by the last one who holds it: a next hop may still read it after its deadline.
        """
        now = self._clock()
        message = self._planner.message(transaction, body, now)
        story = Story(transaction, now, len(body), body.sha256.hex())
        story.phases["receive"] = story.started - transaction.began
        deadline = asyncio.get_running_loop().time() + self._deadlines[transaction.session.listener]
        walk = _Walk(transaction, message, story, deadline)
        try:
            told = await self._walk(walk)
        except StoreUnavailable as error:
            log.error("%s the store is not available: %s", transaction.id, error)
            told = self._tell(story, STORE_DOWN)
        except EffectFailed as error:
            log.warning("%s a plugin's %s", transaction.id, error)
            story.events.append({"event": "not written", "error": str(error)})
            told = self._tell(story, PLUGIN_FAILED)
        except Exception:
            log.exception("%s failed", transaction.id)
            told = self._tell(story, INTERNAL_ERROR)
        if self._tells_plugins:
            self._after(self._tell_plugins(walk))
        return told

    async def _walk(self, walk: _Walk) -> Verdict:
        story = walk.story
        planned = await self._plan(walk)
        story.phase("plan")
        if planned is None:
            return self._tell(walk.story, DEADLINE_PASSED)
        if planned.plan is not None:
            walk.story.plan = planned.plan.to_json()
        elif not await self._has_stored_plan(walk):
            return self._tell(walk.story, planned.refusal or INTERNAL_ERROR)
        await self._commit_a(walk, planned.plan, planned.refusal)
        story.phase("commit")
        await self._deliver(walk)
        story.phase("deliver")
        return await self._commit_b(walk)

    async def _plan(self, walk: _Walk) -> Planned | None:
        """Each call of a hook has its time-out; all of them together have the deadline. None when it has passed."""
        if not self._planner.asks_plugins:
            return await self._planner.plan(walk.transaction, walk.message, walk.story.events)
        try:
            async with asyncio.timeout_at(walk.deadline) as limit:
                planned = await self._planner.plan(walk.transaction, walk.message, walk.story.events)
        except TimeoutError:
            if not limit.expired():
                raise
            return None
        return planned if asyncio.get_running_loop().time() < walk.deadline else None

    async def _has_stored_plan(self, walk: _Walk) -> bool:
        return await self._journal.has_open(walk.message.envelope.return_path, walk.story.digest)

    async def _commit_a(self, walk: _Walk, plan: DeliveryPlan | None, refusal: Reply | None) -> None:
        """The intent, before any byte goes out: steps `sending`, records, jobs; or what the journal knows already."""
        message = walk.message
        recipients = {recipient.address.key: recipient for recipient in message.envelope.recipients}
        plans = {} if plan is None else {each.original.address.key: each for each in plan.recipients}
        if plan is not None and self._needs_no_journal(plan):
            walk.begun = _unjournalled(plans)
        else:
            now = self._clock()
            deadline = walk.deadline - asyncio.get_running_loop().time()
            request = Begin(
                entry_id=walk.transaction.id,
                sender=message.envelope.return_path,
                digest=walk.story.digest,
                transaction_id=walk.transaction.id,
                recipients=tuple(recipients),
                plans=plans,
                records=() if plan is None else plan.records,
                jobs=() if plan is None else tuple((new_id(), job) for job in plan.jobs),
                now=now,
                leased_until=now + deadline + _LEASE_MARGIN_SECONDS,
                held={} if plan is None else await self._held(message, plan),
            )
            walk.begun = await self._journal.begin(request, time.monotonic() + deadline)
        for key in recipients:
            steps = walk.begun.steps.get(key, [])
            walk.deliveries[key] = [Delivery(step, step.state, step.reply or INTERNAL_ERROR) for step in steps]
            if walk.begun.decisions.get(key) is Decision.BUSY:
                walk.deliveries[key] = [_answer_only(key, State.DEFERRED, STILL_BEING_DELIVERED)]
            elif not steps:
                reply = refusal or INTERNAL_ERROR
                walk.deliveries[key] = [
                    _answer_only(key, State.REFUSED if reply.is_permanent else State.DEFERRED, reply)
                ]

    async def _held(self, message: Message, plan: DeliveryPlan) -> dict[tuple[str, int], HeldMail]:
        """What a person is to decide on, with the bytes that would have been handed on."""
        stopped = [
            (each.original.address.key, position, planned)
            for each in plan.recipients
            for position, planned in enumerate(each.steps)
            if isinstance(planned.step, Hold)
        ]
        if not stopped:
            return {}
        envelope = message.envelope
        received = self._stamp.received_line(message.id, message.session, envelope, message.received_at)
        content = await asyncio.to_thread(plan.edits.with_lines((received,)).render, message.body)
        held: dict[tuple[str, int], HeldMail] = {}
        for recipient, position, planned in stopped:
            assert isinstance(planned.step, Hold)
            last = planned.descent[-1] if planned.descent else None
            held[recipient, position] = HeldMail(
                message.id,
                envelope.return_path,
                recipient if last is None else str(last.address),
                planned.step.reason,
                planned.step.rule,
                "" if last is None else last.plugin,
                envelope.parameters.smtputf8,
                content,
            )
        return held

    def _needs_no_journal(self, plan: DeliveryPlan) -> bool:
        """`journal.mode = "needed"`: one step and nothing else leaves no rows (RFC 1047's window stays open)."""
        if self._config.journal.mode == "all" or plan.records or plan.jobs:
            return False
        if len(plan.recipients) != 1 or len(plan.recipients[0].steps) != 1:
            return False
        return not isinstance(plan.recipients[0].steps[0].step, Hold)

    async def _deliver(self, walk: _Walk) -> None:
        """Run what is ours to run; what is settled keeps its answer."""
        mine = [d for row in walk.deliveries.values() for d in row if d.state is State.SENDING]
        if not mine:
            return
        message = walk.message
        received = self._stamp.received_line(message.id, message.session, message.envelope, message.received_at)
        steps = [d.step.step for d in mine if isinstance(d.step.step, DeliverStep)]
        by_copy: dict[tuple[str, str], list[Delivery]] = {}
        for delivery in mine:
            delivery.ran = True
            if isinstance(delivery.step.step, DeliverStep):
                by_copy.setdefault(delivery.step.step.copy_key, []).append(delivery)
            elif isinstance(delivery.step.step, Hold):  # kept by commit A, or its bytes are nowhere
                delivery.state, delivery.reply = State.DEFERRED, INTERNAL_ERROR
            else:
                delivery.state, delivery.reply = settle(delivery.step.step)

        def late(step: DeliverStep, result: Result) -> None:
            state = _STATES[result.outcome]
            walk.late += [settled_as(each, state, result.reply) for each in by_copy[step.copy_key]]
            if walk.settled:
                self._correct(walk)

        results = await self._executor.run(message, (received,), steps, walk.deadline, late)
        for copy, result in results.items():
            for delivery in by_copy[copy]:
                delivery.result = result
                delivery.state, delivery.reply = _STATES[result.outcome], result.reply

    async def _commit_b(self, walk: _Walk) -> Verdict:
        walk.story.steps = [_step_json(delivery) for row in walk.deliveries.values() for delivery in row]
        try:
            answers = await self._settlement.commit(walk.transaction, walk.message, walk.begun, walk.deliveries)
        finally:
            walk.settled = True
            self._correct(walk)
        return self._tell(walk.story, answers.reply, answers.replies)

    def _correct(self, walk: _Walk) -> None:
        late, walk.late = walk.late, []
        self._settlement.correct(late)

    def _tell(self, story: Story, reply: Reply, replies: Sequence[Reply] | None = None) -> Verdict:
        """Close the story with its replies, each tagged with the id."""
        count = story.transaction.recipient_count
        mark = story.transaction.id
        story.reply = tagged = reply.tagged(mark)
        each_reply = replies if replies is not None else [reply] * count
        told = tuple(tagged if each is reply else each.tagged(mark) for each in each_reply)
        story.replies = told
        self._tracer.keep(story)
        return Verdict(story.reply, told)

    async def _tell_plugins(self, walk: _Walk) -> None:
        for row in walk.deliveries.values():
            for delivery in row:
                step = delivery.step.step
                if delivery.ran and isinstance(step, DeliverStep):
                    hook = _HOOKS.get(delivery.state, "delivery_deferred")
                    await self._runner.tell(hook, [], message=walk.message, step=step, reply=delivery.reply)

    def _after(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._afterwards.add(task)
        task.add_done_callback(self._afterwards.discard)

    async def settled(self) -> None:
        """Wait for what runs after replies, and let the writer have what is held. For a clean stop."""
        while self._afterwards:
            await asyncio.gather(*self._afterwards, return_exceptions=True)
        self._settlement.release()
        self._tracer.flush()


def _unjournalled(plans: Mapping[str, Any]) -> Begun:
    begun = Begun()
    for key, plan in plans.items():
        begun.decisions[key] = Decision.NEW
        begun.steps[key] = []
        for position, planned in enumerate(plan.steps):
            stored = StoredStep("", key, position, planned.step, State.SENDING)
            if not isinstance(planned.step, DeliverStep):
                stored.state, stored.reply = settle(planned.step)
            begun.steps[key].append(stored)
    return begun


def _answer_only(recipient: str, state: State, reply: Reply) -> Delivery:
    """A recipient that is answered without a step of its own."""
    return Delivery(StoredStep("", recipient, 0, Refuse(reply), state, reply), state, reply)


def _step_json(delivery: Delivery) -> dict[str, Any]:
    stored = delivery.step
    step = stored.step
    result = delivery.result
    return {
        "recipient": stored.recipient,
        "to": str(step.to) if isinstance(step, DeliverStep) else "",
        "via": step.via if isinstance(step, DeliverStep) else "",
        "state": delivery.state.value,
        "reply": str(delivery.reply),
        "where": result.where if result is not None else "",
        "ran": delivery.ran,
        "entry": stored.entry_id,
    }
