"""Walks mail up to the finished plan, with hooks that are plain functions or with plugins from the real loader.

Nothing is stored or handed on here, and nothing of the code under test is replaced.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.api import Directory, Dns, Services
from gateway.config import Config, read
from gateway.directory.service import DirectoryService
from gateway.directory.static import StaticDirectory
from gateway.dns.service import DnsService
from gateway.hooks.loader import PluginSet, load_plugins
from gateway.hooks.policy import Breaker, Mode, OnError, Policy
from gateway.hooks.runner import Call, Runner, Story
from gateway.mail.address import Address
from gateway.mail.body import Body, MemoryBody
from gateway.mail.envelope import Client, Direction, Envelope, MailParameters, Protocol, Recipient, Role, Session
from gateway.mail.message import Message
from gateway.mail.reply import Reply
from gateway.mail.stamp import Stamp
from gateway.mail.transaction import Transaction
from gateway.planning import Planned, Planner
from gateway.routing.plan import DeliverStep, DeliveryPlan, Step

HELLO = b"From: out@sender.test\r\nTo: anna@example.test\r\nSubject: hello\r\n\r\nHello.\r\n"
ANNA = Address("anna", "example.test")
BO = Address("bo", "example.test")
SENDER = Address("out", "sender.test")

CONFIG = """
plugins = [{plugins}]

[server]
hostname = "gw.example.org"
mx_hosts = ["mx1.gateway.test"]

[[listener]]
name = "mx"
address = "127.0.0.1:0"

[[listener]]
name = "lmtp"
protocol = "lmtp"
role = "filter"
address = "127.0.0.1:0"
trusted_peers = ["127.0.0.1/32"]

[next_hop.mail]
kind = "maildir"
path = "unused/{{domain}}/{{local}}"

[next_hop.postfix]
kind = "smtp"
address = "127.0.0.1:10026"

[hosted."example.test"]
mailboxes = ["anna", "bo"]

[hosted."small.test"]
mailboxes = ["*"]
{tables}
"""
OUTBOUND = '\n[routing]\noutbound = "postfix"\n'


def config(tables: str = "", plugins: Iterable[str] = ()) -> Config:
    """example.test (anna, bo) and small.test (everybody) are hosted; `tables` is more TOML."""
    return read(CONFIG.format(plugins=", ".join(f'"{name}"' for name in plugins), tables=tables), "test.toml")


def session(
    role: Role = "inbound",
    *,
    listener: str = "",
    protocol: Protocol = "smtp",
    direction: Direction = "inbound",
    client: Client | None = None,
    **more: Any,
) -> Session:
    peer = Client("192.0.2.7", 4711)
    listener = listener or ("lmtp" if role == "filter" else "mx")
    return Session("s1", listener, protocol, role, direction, peer, client or peer, "client.test", **more)


def message(
    raw: bytes | Body = HELLO,
    *to: Address,
    sender: Address | None = SENDER,
    came_by: Session | None = None,
    **more: Any,
) -> Message:
    """A received message for `to` (anna when nobody is named)."""
    body = raw if isinstance(raw, Body) else MemoryBody(raw)
    envelope = Envelope(sender, tuple(Recipient(address) for address in to or (ANNA,)))
    return Message("m1", envelope, came_by or session(), body, 1_700_000_000.0, **more)


def call(
    hook: str,
    function: Callable[..., Any],
    plugin: str = "probe",
    *,
    on_error: OnError = "tempfail",
    timeout_seconds: float = 30.0,
    mode: Mode = "live",
    tags: Iterable[str] = ("seen",),
    pool: ThreadPoolExecutor | None = None,
    breaker: Breaker | None = None,
) -> Call:
    """`function` as the implementation of `hook` by `plugin`."""
    policy = Policy(on_error, timeout_seconds, mode, breaker or Breaker())
    return Call(plugin, hook, function, tuple(inspect.signature(function).parameters), policy, frozenset(tags), pool)


def returns(answer: Any) -> Callable[[], Any]:
    """A hook that wants no arguments and always answers this."""

    def hook() -> Any:
        return answer

    return hook


def chain(*calls: Call) -> Runner:
    """A runner whose chains are the calls in this order."""
    hooks: dict[str, list[Call]] = {}
    for each in calls:
        hooks.setdefault(each.hook, []).append(each)
    return Runner(hooks)


@dataclass
class Walk:
    """The decisions of one gateway: command by command, then the plan. `events` is what the trace would tell."""

    config: Config
    runner: Runner
    directory: DirectoryService
    events: Story = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planner = Planner(self.config, self.runner, self.directory, Stamp(self.config.server.hostname, b"secret"))

    async def mail(
        self, sender: Address | None = SENDER, came_by: Session | None = None, **parameters: Any
    ) -> tuple[Transaction, Reply | None]:
        return await self.planner.mail(came_by or session(), sender, MailParameters(**parameters))

    async def rcpt(self, transaction: Transaction, address: Address | str, **more: Any) -> Reply:
        address = Address.parse(address) if isinstance(address, str) else address
        return await self.planner.rcpt(transaction, Recipient(address, **more))

    async def data(self, transaction: Transaction, raw: bytes | Body = HELLO) -> Planned:
        body = raw if isinstance(raw, Body) else MemoryBody(raw)
        received = self.planner.message(transaction, body, 1_700_000_000.0)
        return await self.planner.plan(transaction, received, self.events)

    async def send(
        self, raw: bytes | Body = HELLO, *to: Address | str, came_by: Session | None = None, **parameters: Any
    ) -> Planned:
        """A whole transaction (for anna when nobody is named), none of whose commands is refused."""
        transaction, refusal = await self.mail(came_by=came_by, **parameters)
        assert refusal is None
        for address in to or (ANNA,):
            reply = await self.rcpt(transaction, address)
            assert reply.is_accept, reply
        return await self.data(transaction, raw)


def walk(*calls: Call, tables: str = "") -> Walk:
    """A gateway whose hooks are functions."""
    settings = config(tables)
    return Walk(settings, chain(*calls), _static(settings))


def _static(settings: Config) -> DirectoryService:
    """The mailboxes of the configuration, and no database."""
    return DirectoryService(StaticDirectory(settings.hosted, settings.server.hostname), NoStore())


class NoStore:
    """Plugins under test here have no tables."""

    async def read(self, query: Any, params: Mapping[str, Any] | None = None) -> list[Any]:
        raise AssertionError(f"nothing reads here: {query}")


def services(directory: Directory, dns: Dns) -> Services:
    return Services(NoStore(), directory, dns, lambda: 1_700_000_000.0, logging.getLogger("stellwerk.plugin.test"))


@dataclass
class Loaded(Walk):
    """A gateway with plugins from the real loader."""

    plugins: PluginSet = field(default_factory=PluginSet)


@asynccontextmanager
async def loaded(*plugins: str, tables: str = "") -> AsyncIterator[Loaded]:
    """The chain of these installed plugins; `tables` are their settings."""
    settings = config(tables, plugins)
    directory = _static(settings)
    dns = DnsService(settings, directory.hosts)
    found = load_plugins(settings, services(directory, dns))
    try:
        yield Loaded(settings, found.runner, directory, plugins=found)
    finally:
        found.close()
        await dns.close()


def steps(plan: DeliveryPlan | None) -> list[Step]:
    """Every step of a plan, in order."""
    assert plan is not None
    return [planned.step for recipient in plan.recipients for planned in recipient.steps]


def copies(plan: DeliveryPlan | None) -> list[tuple[str, str]]:
    """(final address, next hop) of every delivery, in order."""
    return [(str(step.to), step.via) for step in steps(plan) if isinstance(step, DeliverStep)]
