"""G8 of the fault catalogue: a plugin changes all it is shown, and neither the other plugins nor the mail see that.

Real gateways, one with such a plugin between two others and one without it. What the two report, and what the sink
takes, must be the same. Every line is tried by itself in every hook: most are refused, the others change a copy.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from email.message import Message as Tree
from typing import Any, ClassVar

import pytest

from gateway.api import (
    AddHeader,
    Address,
    Effect,
    Field,
    Job,
    MailParameters,
    Message,
    Plugin,
    Recipient,
    Registry,
    Reply,
    Session,
    Settings,
    Tag,
    Transaction,
    hookimpl,
)
from gateway.routing.plan import DeliverStep, DeliveryPlan
from gateway.testing import RunningGateway, Sink, StartGateway, message

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways

EVIL = Address("evil", "elsewhere.test")
LINES = {
    "parsed": """
        del tree["Subject"]
        tree["Subject"] = "another"
        tree.set_type("text/html")
        tree.get_payload()[0].set_payload("gone")
        tree.get_payload()[0].add_header("X-Evil", "1")
        tree.get_payload().clear()
        tree.set_payload("gone")
        tree.preamble = tree.epilogue = "gone"
        tree.defects.append(ValueError("gone"))
        tree.set_unixfrom("From evil")
    """,
    "config": """
        self.config.words.append("evil")
        self.config.words = ["evil"]
        self.config.anything["b"].append("evil")
        type(self.config).model_fields["words"].default.append("evil")
        gateway.config.plugin["last"]["words"].append("evil")
        gateway.config.plugin["last"]["anything"]["b"].append("evil")
        gateway.config.plugin = {}
        gateway.config.routing = None
        gateway.plugins.get("last").instance.config.words = ["evil"]
        gateway.plugins.plugins.clear()
    """,
    "envelope": """
        message.envelope.sender = EVIL
        message.envelope.recipients = ()
        message.envelope.recipients[0] = Recipient(EVIL)
        message.envelope.recipients += (Recipient(EVIL),)
        message.envelope.recipients.clear()
        message.envelope.recipients[0].address = EVIL
        message.envelope.recipients[0].address.local = "evil"
        message.envelope.recipients[0].notify = ("NEVER",)
        message.envelope.parameters.smtputf8 = True
        message.envelope = None
        message.received_at = 0.0
        message.session = None
        message.session.listener = "evil"
        message.session.client.address = "192.0.2.66"
        session.client = Client("192.0.2.66")
        session.trusted = True
        sender.local = "evil"
        params.size = 1
        recipient.address = EVIL
        recipient.local = "evil"
        transaction.sender = EVIL
        transaction.parameters = MailParameters()
        transaction.session = None
        transaction.accept(Recipient(EVIL))
        transaction.recipients += (Recipient(EVIL),)
        transaction.events.clear()
        transaction.client_gone = True
    """,
    "tags": """
        session.tags["last.seen"] = "evil"
        session.tags.update({"last.seen": "evil"})
        session.tags = {"last.seen": "evil"}
        transaction.tag({"last.seen": "evil"})
        transaction.tags["last.seen"] = "evil"
        transaction.tags.clear()
        message.tags["last.seen"] = "evil"
        message.tags.pop("first.seen")
        message.tags = {}
        message.tags |= {"last.seen": "evil"}
    """,
    "body": """
        message.body = None
        message.body.close()
        message.body.is_plain = not message.body.is_plain
        message.body.sha256 = b""
        message.body.header_block = b"Subject: evil"
        message.body.read(0, 100)[0] = 0
        message.body.read_at_once(0, 100)[0] = 0
        message.body._data = b"evil"
        message.body._descriptor = -1
        message.body.read = None
        message.headers.first("Subject").raw = b"Subject: evil"
        message.headers.all("Subject").clear()
        message.headers.texts("Subject").clear()
        message.edits = None
        message.edits.prepend += ("X-Evil: 1",)
    """,
    "plan": """
        plan.recipients = ()
        plan.recipients += plan.recipients
        plan.recipients[0].steps = ()
        plan.recipients[0].steps[0].step = None
        plan.recipients[0].steps[0].step.to = EVIL
        plan.recipients[0].original.address = EVIL
        plan.edits = None
        plan.edits.prepend += ("X-Evil: 1",)
        plan.jobs = ()
        plan.jobs[0].owner = "changes"
        plan.jobs[0].payload["to"].append("evil")
        plan.jobs[0].payload["about"] = "evil"
        plan.jobs[0].payload.clear()
        plan.records += (Record("evil", {}),)
    """,
}
CHANGE_A_COPY = {
    "parsed": {line.strip() for line in LINES["parsed"].strip().splitlines()},
    "plan": {'plan.jobs[0].payload["to"].append("evil")', 'plan.jobs[0].payload["about"] = "evil"'},
}
"""Lines that do change something, each its own plugin's copy: at least these must have been tried in earnest."""


class Words(Settings):
    words: list[str] = Field(["default"])
    anything: dict[str, Any] = Field({})


class Changes(Plugin[Words]):
    """Tries `lines` in every hook."""

    config_model = Words
    lines: ClassVar[str] = ""

    def tries(self, **names: Any) -> None:
        self.done: set[str] = getattr(self, "done", set())
        for line in self.lines.strip().splitlines():
            with contextlib.suppress(Exception):
                exec(line.strip(), {**globals(), "self": self, **names})
                self.done.add(line.strip())

    @hookimpl
    def gateway_startup(self, gateway: Any) -> None:
        self.tries(gateway=gateway)

    @hookimpl
    def smtp_connect(self, session: Session) -> None:
        self.tries(session=session)

    @hookimpl
    def smtp_mail(self, session: Session, sender: Address | None, size: int | None, params: MailParameters) -> None:
        self.tries(session=session, sender=sender, params=params)

    @hookimpl
    def smtp_rcpt_check(self, transaction: Transaction, recipient: Recipient) -> None:
        self.tries(transaction=transaction, recipient=recipient, session=transaction.session)

    @hookimpl
    async def message_received(self, message: Message) -> None:
        self.tries(message=message, tree=await message.parsed())

    @hookimpl
    def route_recipient(self, message: Message, recipient: Address) -> None:
        self.tries(message=message, recipient=recipient)

    @hookimpl
    async def message_annotate(self, message: Message, plan: DeliveryPlan) -> None:
        self.tries(message=message, plan=plan, tree=await message.parsed())

    @hookimpl
    async def plan_review(self, message: Message, plan: DeliveryPlan) -> None:
        self.tries(message=message, plan=plan, tree=await message.parsed())

    @hookimpl
    def delivery_succeeded(self, message: Message, step: DeliverStep, reply: Reply) -> None:
        self.tries(message=message, step=step, reply=reply)


class Reports(Plugin[Words]):
    """Notes in `seen` all that it is shown."""

    config_model = Words

    def __init__(self, config: Words, services: Any) -> None:
        super().__init__(config, services)
        self.seen: list[object] = []

    def register(self, registry: Registry) -> None:
        registry.tag("seen", "it was here")
        registry.job("tell", "is never done here")

    async def sees(self, message: Message, plan: DeliveryPlan | None = None) -> None:
        tree = await message.parsed()
        assert tree is not None
        body = message.body
        self.seen += [self.config.model_dump_json(), repr(message.envelope), dict(message.tags), repr(message.edits)]
        self.seen += [message.session.listener, message.session.client.address, message.received_at]
        self.seen += [body.read(0, len(body)), body.header_block, body.is_plain, body.sha256, *shape(tree)]
        self.seen += [(field.name, field.value) for field in message.headers]
        if plan is not None:
            steps = [planned.step for each in plan.recipients for planned in each.steps]
            self.seen += [(str(step.to), step.via) for step in steps if isinstance(step, DeliverStep)]
            self.seen += [repr(plan.jobs), repr(plan.records), len(plan.edits.prepend)]

    @hookimpl
    def smtp_connect(self, session: Session) -> Tag:
        self.seen += [dict(session.tags), session.client.address, session.trusted]
        return Tag("seen", "at connect")

    @hookimpl
    def smtp_rcpt_check(self, transaction: Transaction, recipient: Recipient) -> None:
        self.seen += [repr(transaction.envelope()), dict(transaction.tags), str(recipient.address)]

    @hookimpl
    async def message_received(self, message: Message) -> None:
        await self.sees(message)

    @hookimpl
    async def message_annotate(self, message: Message, plan: DeliveryPlan) -> Iterable[Effect]:
        await self.sees(message, plan)
        return [Job("tell", {"to": ["anna"], "about": {"id": 1}}, message.id), AddHeader("X-Seen", "1")]

    @hookimpl
    async def plan_review(self, message: Message, plan: DeliveryPlan) -> None:
        await self.sees(message, plan)


def shape(tree: Tree) -> list[object]:
    """All that stands in a MIME tree."""
    return [tree.preamble, tree.epilogue, *(
        (part.items(), part.get_unixfrom(), len(part.defects), part.is_multipart() or part.get_payload())
        for part in tree.walk()
    )]  # fmt: skip


MAIL = message("for the others", text="the text\r\n", attachments={"a.pdf": b"%PDF"})
LARGE = message("for the others", text="line\r\n" * 300_000, attachments={"a.pdf": b"%PDF"})
SETTINGS = {name: {"words": ["a"], "anything": {"b": ["c"]}} for name in ("first", "changes", "last")}


def seen_by_the_others(gateway: RunningGateway, transaction_id: str) -> list[str]:
    """What both reported, without the id, which is another for each message."""
    found = []
    for name in ("first", "last"):
        plugin = gateway.plugin(name)
        assert isinstance(plugin, Reports)
        found.append(repr(plugin.seen).replace(transaction_id, "ID"))
    return found


@pytest.mark.parametrize("content", [MAIL, LARGE], ids=["in memory", "spilled"])
@pytest.mark.parametrize("what", LINES)
def test_g8_what_a_plugin_changes_is_seen_by_nobody_else(
    start_gateway: StartGateway, sink: Sink, what: str, content: bytes
) -> None:
    vandal = type("Vandal", (Changes,), {"lines": LINES[what]})
    chains: list[dict[str, type[Plugin[Any]]]] = [
        {"first": Reports, "changes": vandal, "last": Reports},
        {"first": Reports, "last": Reports},
    ]
    seen, tags = [], []
    for chain in chains:
        settings = {name: SETTINGS[name] for name in chain}
        gateway = start_gateway(chain, settings=settings)
        sent = gateway.send(content, ["anna@example.test", "bo@example.test"])
        assert (sent.reply.code, sent.trace.failures) == (250, ())
        seen.append(seen_by_the_others(gateway, sent.id))
        tags.append(sent.trace.tags)
        if "changes" in chain:
            done = vars(gateway.plugin("changes"))["done"]
            assert done >= CHANGE_A_COPY.get(what, set())
    assert seen[0] == seen[1]
    assert tags[0] == tags[1]
    with_it, without = sink.messages
    assert with_it.data.endswith(content)
    assert with_it.data.count(b"X-Seen: 1") == without.data.count(b"X-Seen: 1") == 2
    assert b"X-Evil" not in with_it.data
    assert (with_it.sender, with_it.to) == (without.sender, without.to)


@pytest.mark.parametrize("blocking", [False, True])
def test_g8_a_plugin_finds_its_own_tree_again(start_gateway: StartGateway, blocking: bool) -> None:
    gateway = start_gateway({"one": Keeps, "other": type("Other", (Keeps,), {"blocking": blocking})})
    assert gateway.send(MAIL).trace.failures == ()
    one, other = (vars(gateway.plugin(name))["trees"] for name in ("one", "other"))
    assert one[0] is one[1]
    assert other[0] is other[1]
    assert one[0] is not other[0]


class Keeps(Plugin[Settings]):
    """Keeps the trees that it is given."""

    def __init__(self, config: Settings, services: Any) -> None:
        super().__init__(config, services)
        self.trees: list[Tree | None] = []

    @hookimpl
    async def message_received(self, message: Message) -> None:
        self.trees.append(await message.parsed())

    @hookimpl
    async def message_annotate(self, message: Message, plan: DeliveryPlan) -> Iterable[Effect]:
        self.trees.append(await message.parsed())
        return ()


def test_g8_a_list_in_a_plan_is_no_plan(start_gateway: StartGateway) -> None:
    class Lists(Plugin[Settings]):
        on_error = "skip"

        @hookimpl
        def plan_review(self, message: Message, plan: DeliveryPlan) -> DeliveryPlan:
            return DeliveryPlan(list(plan.recipients), plan.edits)  # type: ignore[arg-type]

    sent = start_gateway({"lists": Lists}).send(MAIL)
    assert sent.reply.code == 250
    (failure,) = sent.trace.failures
    assert (
        failure.error == "recipients, steps, records and jobs of a plan are tuples, so that no plugin can change them"
    )


def test_g8_the_job_that_is_stored_is_the_one_its_plugin_returned(start_gateway: StartGateway) -> None:
    vandal = type("Vandal", (Changes,), {"lines": LINES["plan"]})
    gateway = start_gateway({"changes": vandal, "first": Reports, "again": vandal})
    sent = gateway.send(MAIL)
    stored = json.dumps(sent.trace.json["plan"])
    assert '{"to": ["anna"], "about": {"id": 1}}' in stored
    assert "evil" not in stored
