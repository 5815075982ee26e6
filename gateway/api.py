"""Everything a plugin may import, and nothing else: `from gateway.api import Plugin, hookimpl, ...`.

The hooks themselves are described in `gateway/hookspecs.py`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Protocol, TypeVar

import pluggy
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from gateway.domains.told import DomainFacts
from gateway.hooks.policy import OnError
from gateway.hooks.registry import Accept, Registry
from gateway.hookspecs import PROJECT, Checked, Effect
from gateway.mail import reply
from gateway.mail.address import Address, AddressError
from gateway.mail.authentication_results import Authentication, AuthenticationResult
from gateway.mail.edits import (
    AddHeader,
    EveryCopy,
    ForMembers,
    ForRecipient,
    RemoveHeader,
    ReplaceHeader,
)
from gateway.mail.envelope import Client, Credentials, Envelope, Identity, MailParameters, Recipient, Session
from gateway.mail.headers import MAX_TEXT_OCTETS, HeaderText
from gateway.mail.message import Message, Tag
from gateway.mail.reply import Reply
from gateway.mail.transaction import SeenTransaction as Transaction
from gateway.routing.effects import Done, Job, Record, Retry
from gateway.routing.plan import DeliverStep, DeliveryPlan
from gateway.routing.route import Deliver, Discard, Hold, Redirect, Refuse, Route

__all__ = [
    "MAX_TEXT_OCTETS",
    "Accept",
    "AddHeader",
    "Address",
    "AddressError",
    "Authentication",
    "AuthenticationResult",
    "Checked",
    "Client",
    "Credentials",
    "Deliver",
    "DeliverStep",
    "DeliveryPlan",
    "Directory",
    "Discard",
    "Dns",
    "DomainFacts",
    "Done",
    "Effect",
    "Envelope",
    "EveryCopy",
    "Field",
    "ForMembers",
    "ForRecipient",
    "HeaderText",
    "Hold",
    "Identity",
    "Job",
    "ListenerName",
    "MailDomainAnswer",
    "MailParameters",
    "Mailbox",
    "Message",
    "Plugin",
    "Recipient",
    "Record",
    "Redirect",
    "Refuse",
    "Registry",
    "RemoveHeader",
    "ReplaceHeader",
    "Reply",
    "Retry",
    "Route",
    "Services",
    "Session",
    "Settings",
    "StoreReader",
    "Tag",
    "Transaction",
    "hookimpl",
    "reply",
]

hookimpl = pluggy.HookimplMarker(PROJECT)


class Settings(BaseModel):
    """Base of a plugin's `config_model`: frozen, and a key it does not know is an error. Describe every field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _known_listener(name: str, info: ValidationInfo) -> str:
    there = (info.context or {}).get("listeners")
    if there is not None and name not in there:
        near = difflib.get_close_matches(name, there, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise ValueError(f'there is no listener "{name}"; there are: {", ".join(there)}{hint}')
    return name


ListenerName = Annotated[str, AfterValidator(_known_listener)]
"""A setting that names a listener; one that does not exist is an error of the configuration, with file and line."""

SettingsT = TypeVar("SettingsT", bound=Settings)


class StoreReader(Protocol):
    """Reads from the database. Under `explain` as on live mail; writing is what `Record` is for."""

    async def read(self, query: Any, params: Mapping[str, Any] | None = None) -> list[Any]:
        """Rows of a SQLAlchemy query, fetched at once."""
        ...


class Mailbox(Protocol):
    """A mailbox as the directory knows it. `organisation` and `context` are empty for those of the configuration."""

    @property
    def address(self) -> Address:
        """Its main address, whichever was asked for."""
        ...

    @property
    def kind(self) -> str:
        """`personal` or `shared`."""
        ...

    @property
    def organisation(self) -> str: ...

    @property
    def context(self) -> str: ...

    @property
    def receives(self) -> bool: ...

    @property
    def vip(self) -> bool: ...

    @property
    def max_message_bytes(self) -> int | None:
        """The strictest of its own limit and its organisation's plan; None without one."""
        ...

    @property
    def plugins(self) -> Mapping[str, bool]:
        """Plugins that its context has switched on or off; those it left alone are missing."""
        ...


class Directory(Protocol):
    """Who has a mailbox here. What reads the database raises `StoreUnavailable`: let it through, it becomes a 451."""

    def hosts(self, domain: str) -> bool:
        """Whether mail for `domain` (A-label, lower case) is taken here."""
        ...

    def is_local(self, address: Address) -> bool:
        """Whether mail for it stays here, be there such a mailbox or not."""
        ...

    @property
    def smallest_message_limit(self) -> int | None:
        """No mailbox has a stricter `max_message_bytes`; None: none has any. So that small mail need not ask."""
        ...

    async def has_mailbox(self, address: Address) -> bool:
        """Whether the address (its subaddress left aside) is a mailbox of a hosted domain."""
        ...

    async def mailbox(self, address: Address) -> Mailbox | None:
        """The mailbox that the address, or an alias of that name, leads to."""
        ...


class MailDomainAnswer(Protocol):
    """What DNS says of a domain that mail comes from or goes to."""

    @property
    def outcome(self) -> str:
        """`accept`, `reject` or `defer`."""
        ...

    @property
    def cause(self) -> str:
        """One word for what decided: `mx`, `implicit_mx`, `no_such_domain`, `null_mx`, `dns_error`, ..."""
        ...

    @property
    def reply(self) -> Reply | None:
        """None when mail can go there, else the refusal or deferral that fits the role."""
        ...

    @property
    def reason(self) -> str:
        """What was asked and what was seen, in plain words. Quotes DNS data: for logs and traces, never for replies."""
        ...


class Dns(Protocol):
    """DNS look-ups, cached and shared by all plugins."""

    async def mail_domain(self, domain: str, role: str) -> MailDomainAnswer:
        """Whether `domain` can take mail. `role` is `sender` or `recipient`."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the host gives a plugin to work with. `clock` returns POSIX seconds."""

    store: StoreReader
    directory: Directory
    dns: Dns
    clock: Callable[[], float]
    log: logging.Logger


class Plugin(Generic[SettingsT]):
    """Base class of all plugins: one instance a process, made from its settings and the services.

    `config_model` checks `[plugin.NAME]`. `on_error` and `timeout_seconds` are defaults that the configuration may
    override. With `blocking = True` the sync hooks run in a small thread pool of the plugin's own.
    """

    config_model: ClassVar[type[Settings]] = Settings
    on_error: ClassVar[OnError] = "tempfail"
    timeout_seconds: ClassVar[float] = 10.0
    blocking: ClassVar[bool] = False

    def __init__(self, config: SettingsT, services: Services) -> None:
        self.config = config
        self.services = services

    if TYPE_CHECKING:
        # Declared for type checkers only: pluggy must not take the base class for an implementation.
        def register(self, registry: Registry) -> None: ...
        def gateway_startup(self, gateway: Any) -> Awaitable[None] | None: ...
        def gateway_shutdown(self, gateway: Any) -> Awaitable[None] | None: ...
        def smtp_connect(self, session: Session) -> Checked | Awaitable[Checked | None] | None: ...
        def smtp_auth(
            self, session: Session, credentials: Credentials
        ) -> Identity | Reply | Awaitable[Identity | Reply | None] | None: ...
        def smtp_mail(
            self, session: Session, sender: Address | None, size: int | None, params: MailParameters
        ) -> Checked | Awaitable[Checked | None] | None: ...
        def smtp_rcpt_check(
            self, transaction: Transaction, recipient: Recipient
        ) -> Checked | Awaitable[Checked | None] | None: ...
        def smtp_rcpt_claim(
            self, transaction: Transaction, recipient: Recipient
        ) -> Accept | Reply | Awaitable[Accept | Reply | None] | None: ...
        def message_received(self, message: Message) -> Checked | Awaitable[Checked | None] | None: ...
        def route_recipient(self, message: Message, recipient: Address) -> Route | Awaitable[Route | None] | None: ...
        def message_annotate(
            self, message: Message, plan: DeliveryPlan
        ) -> Iterable[Effect] | Awaitable[Iterable[Effect] | None] | None: ...
        def plan_review(
            self, message: Message, plan: DeliveryPlan
        ) -> DeliveryPlan | Reply | Awaitable[DeliveryPlan | Reply | None] | None: ...
        def delivery_succeeded(self, message: Message, step: DeliverStep, reply: Reply) -> Awaitable[None] | None: ...
        def delivery_deferred(self, message: Message, step: DeliverStep, reply: Reply) -> Awaitable[None] | None: ...
        def delivery_failed(self, message: Message, step: DeliverStep, reply: Reply) -> Awaitable[None] | None: ...
        def run_job(self, job: Job) -> Done | Retry | Awaitable[Done | Retry | None] | None: ...
        def domain_state_changed(self, old: str, new: str, facts: DomainFacts) -> Awaitable[None] | None: ...
