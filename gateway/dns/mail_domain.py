"""Can the domain of an address take mail? Accept, reject or defer, with the reply to give and the reason in words.

The algorithm of RFC 5321 5.1 and RFC 7505, for senders and recipients. A rejection needs definite answers: whatever
is unknown, stale, or came while the resolver was in trouble only ever defers. Who is asked, and when, is the caller's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Literal, TypeAlias

import dns.name
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from gateway.dns.answers import Answer, Found, NotFound, Trouble, Unknown, cut, name_text
from gateway.dns.public_address import Network, is_usable
from gateway.dns.resolver import Budget, Resolver
from gateway.mail import reply as replies
from gateway.mail.address import AddressError, normalise_domain
from gateway.mail.reply import Reply

Role: TypeAlias = Literal["sender", "recipient"]
Outcome: TypeAlias = Literal["accept", "reject", "defer"]

MAX_NAME_OCTETS = 253  # RFC 1035 2.3.4: 255 on the wire

# Never in the DNS: RFC 6761 6.3 and 6.4, RFC 6762, RFC 7686, RFC 9476. `test` and `example` are looked up like any
# other name: RFC 6761 6.2 and 6.5 ask applications not to recognise them.
SPECIAL_USE = frozenset({"localhost", "invalid", "local", "onion", "alt"})

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


class Cause(StrEnum):
    """What decided, for tags and counters."""

    NULL_SENDER = "null_sender"
    HOSTED = "hosted"
    MX = "mx"
    IMPLICIT_MX = "implicit_mx"
    MALFORMED = "malformed"
    NOT_IN_DNS = "not_in_dns"
    NO_SUCH_DOMAIN = "no_such_domain"
    NOTHING_USABLE = "nothing_usable"
    NULL_MX = "null_mx"
    OWN_MX = "own_mx"
    DNS_ERROR = "dns_error"


@dataclass(frozen=True, slots=True)
class MailDomainRules:
    """What an installation sets. `treat_as_public`: networks whose addresses count although they are private.

    `own_names` and `own_addresses` are the gateway's MX hosts and addresses as the world sees them. With
    `unknown_domain = "defer"` a domain that does not exist gets 450, as Postfix answers by default.
    """

    treat_as_public: tuple[Network, ...] = ()
    own_names: frozenset[str] = frozenset()
    own_addresses: frozenset[str] = frozenset()
    unknown_domain: Literal["reject", "defer"] = "reject"
    max_targets: int = 10
    timeout_seconds: float = 8.0

    def __post_init__(self) -> None:
        addresses = frozenset(str(ip_address(address)) for address in self.own_addresses)
        object.__setattr__(self, "own_names", frozenset(normalise_domain(name) for name in self.own_names))
        object.__setattr__(self, "own_addresses", addresses)


@dataclass(frozen=True, slots=True)
class DomainVerdict:
    """`reply` is None exactly when the outcome is accept. `reason` says what was asked and what was seen.

    `reason` and `notes` quote DNS data (printable ASCII, cut): they are for logs, traces and pages, never for replies.
    """

    domain: str
    role: Role
    outcome: Outcome
    cause: Cause
    reply: Reply | None
    reason: str
    notes: tuple[str, ...] = ()


async def mail_domain(
    domain: str,
    role: Role,
    resolver: Resolver,
    *,
    rules: MailDomainRules | None = None,
    hosted: bool = False,
    budget: Budget | None = None,
) -> DomainVerdict:
    """Judge `domain` (any spelling; the empty string is the null sender's) within `rules.timeout_seconds`.

    A `hosted` domain is accepted without a query. `budget` counts MX look-ups and hosts (A and AAAA together are one)
    and is shared by all domains of a message; the default is a fresh one.
    """
    check = _Check(domain, role, resolver, rules or MailDomainRules(), budget or Budget())
    early = check.without_query(hosted=hosted)
    if early is not None:
        return early
    try:
        async with asyncio.timeout(check.rules.timeout_seconds):
            verdict = await check.look_up()
    except TimeoutError:
        verdict = check.defer(f"not settled within {check.rules.timeout_seconds:g} s: {check.story()}")
    return check.only_if_certain(verdict)


@dataclass(frozen=True, slots=True)
class _Target:
    preference: int
    host: str


@dataclass(slots=True)
class _Check:
    """One question about one domain: what was seen so far, and the verdicts it can end with."""

    domain: str
    role: Role
    resolver: Resolver
    rules: MailDomainRules
    budget: Budget
    seen: list[object] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stale: bool = False
    errors: bool = False

    def without_query(self, *, hosted: bool) -> DomainVerdict | None:
        if not self.domain and self.role == "sender":
            return self.accept(Cause.NULL_SENDER, "the null sender has no domain")
        try:
            self.domain = normalise_domain(self.domain)
        except AddressError as error:
            text = replies.ADDRESS_LITERAL.text if error.literal else "the domain is malformed"
            return self.reject(Cause.MALFORMED, str(error), text)
        if hosted:
            return self.accept(Cause.HOSTED, f"{self.domain} is hosted here")
        reason = unresolvable(self.domain)
        if reason is None and "." not in self.domain:
            reason = f"{self.domain} is a single label"
        return None if reason is None else self.reject(Cause.NOT_IN_DNS, reason, "this domain cannot exist in the DNS")

    async def look_up(self) -> DomainVerdict:
        answer = self.note(await self.resolver.lookup(self.domain, "MX", budget=self.budget, stale_ok=True))
        if isinstance(answer, Unknown):
            return self.defer(self.story())
        if isinstance(answer, NotFound):
            if answer.reason == "nxdomain":
                return self.reject(Cause.NO_SUCH_DOMAIN, self.story(), "the domain does not exist")
            return await self.try_targets([_Target(0, self.domain)], Cause.IMPLICIT_MX)
        records = answer.of(MX)
        named = [record for record in records if record.exchange != dns.name.root]
        if not named:
            return self.null_mx()
        if len(named) < len(records):
            self.notes.append("a null MX among others is ignored (RFC 7505 3)")
        targets = [_Target(record.preference, name_text(record.exchange)) for record in named]
        return await self.try_targets(sorted(targets, key=lambda target: target.preference), Cause.MX)

    async def try_targets(self, targets: list[_Target], cause: Cause) -> DomainVerdict:
        """Ask for one host after the other until one has a usable address (RFC 5321 5.1)."""
        own = min((target.preference for target in targets if self.is_own_name(target.host)), default=None)
        if own is not None:
            # Hosts of our own preference and worse are not for us to deliver to: that is the loop.
            self.seen.append("this gateway is among the mail hosts")
            targets = [target for target in targets if target.preference < own]
        if len(targets) > self.rules.max_targets:
            self.notes.append(f"{len(targets)} mail hosts, the best {self.rules.max_targets} were looked at")
        for target in targets[: self.rules.max_targets]:
            address = await self.usable_address(target.host)
            if address is None:
                continue
            if self.role == "recipient" and address in self.rules.own_addresses:
                return self.own_mx(f"{target.host} has this gateway's own address {address}")
            how = "has no MX, but itself" if cause is Cause.IMPLICIT_MX else f"has the mail host {target.host} with"
            return self.accept(cause, f"{self.domain} {how} the address {address}")
        if self.errors:
            return self.defer(self.story())
        if own is not None:
            return self.own_mx(self.story())
        text = "no mail host of the domain has a usable address"
        return self.reject(Cause.NOTHING_USABLE, self.story(), text)

    async def usable_address(self, host: str) -> str | None:
        reason = unresolvable(host)
        if reason is not None:
            self.seen.append(f"{reason}, so it is no mail host")
            return None
        unusable: list[str] = []
        async with aclosing(self.addresses(host)) as answers:
            async for answer in answers:
                self.note(answer)
                if isinstance(answer, Unknown):
                    self.errors = True
                elif isinstance(answer, Found):
                    if answer.aliases and host != self.domain:
                        self.remark(f"mail host {host} is an alias of {answer.canonical} (RFC 2181 10.3); tolerated")
                    for address in _addresses_in(answer):
                        if is_usable(address, self.rules.treat_as_public):
                            return address
                        unusable.append(address)
        if unusable:
            self.remark(f"{host} has no address that is reachable from outside: {', '.join(unusable)}")
        return None

    async def addresses(self, host: str) -> AsyncGenerator[Answer, None]:
        """A and AAAA, asked together, each as soon as it is there: a server that drops AAAA must not delay mail."""
        known = [(rdtype, self.resolver.cached(host, rdtype)) for rdtype in ("A", "AAAA")]
        missing = [rdtype for rdtype, answer in known if answer is None or isinstance(answer, Unknown)]
        for _, answer in known:
            if answer is not None and not isinstance(answer, Unknown):
                yield answer
        if not missing:
            return
        if any(answer is None for _, answer in known) and not self.budget.spend():
            yield Unknown(host, "A and AAAA", Trouble.BUDGET, "this message has caused its share of DNS look-ups")
            return
        tasks = [asyncio.create_task(self.resolver.lookup(host, rdtype, stale_ok=True)) for rdtype in missing]
        try:
            waiting = set(tasks)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task in done:
                        yield task.result()
        finally:
            for task in tasks:
                task.cancel()

    def is_own_name(self, host: str) -> bool:
        return self.role == "recipient" and host in self.rules.own_names

    def note(self, answer: Answer) -> Answer:
        self.seen.append(answer)
        if isinstance(answer, Found) and answer.stale:
            self.stale = True
            self.notes.append(f"the server gave no answer: expired records of {answer.name} {answer.rdtype} were used")
        return answer

    def remark(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def story(self) -> str:
        return "; ".join(map(str, self.seen))

    def only_if_certain(self, verdict: DomainVerdict) -> DomainVerdict:
        """A rejection that rests on expired records, or falls while look-ups fail in numbers, becomes a deferral."""
        if verdict.outcome != "reject":
            return verdict
        if self.stale:
            return self.defer(f"expired records only ever support an acceptance: {verdict.reason}")
        if self.resolver.in_trouble:
            return self.defer(f"too many look-ups fail at present: {verdict.reason}")
        return verdict

    def accept(self, cause: Cause, reason: str) -> DomainVerdict:
        return self.verdict("accept", cause, None, reason)

    def defer(self, reason: str, cause: Cause = Cause.DNS_ERROR) -> DomainVerdict:
        sender = self.role == "sender"
        trouble = replies.SENDER_DOMAIN_TROUBLE if sender else replies.RECIPIENT_DOMAIN_TROUBLE
        return self.verdict("defer", cause, trouble, reason)

    def reject(self, cause: Cause, reason: str, text: str) -> DomainVerdict:
        bad = replies.BAD_SENDER_DOMAIN if self.role == "sender" else replies.BAD_RECIPIENT_DOMAIN
        if self.rules.unknown_domain == "defer" and cause in (Cause.NO_SUCH_DOMAIN, Cause.NOTHING_USABLE):
            deferred = self.defer(reason, cause)
            assert deferred.reply is not None
            return replace(deferred, reply=deferred.reply.says(f"{bad.text}: {text}"))
        return self.verdict("reject", cause, bad.says(f"{bad.text}: {text}"), reason)

    def null_mx(self) -> DomainVerdict:
        reply = replies.NULL_MX_SENDER if self.role == "sender" else replies.NULL_MX_RECIPIENT
        return self.verdict("reject", Cause.NULL_MX, reply, self.story())

    def own_mx(self, reason: str) -> DomainVerdict:
        reply = replies.MAIL_LOOP.says("mail loop: the domain's mail host is this gateway, which does not host it")
        return self.verdict("reject", Cause.OWN_MX, reply, reason)

    def verdict(self, outcome: Outcome, cause: Cause, reply: Reply | None, reason: str) -> DomainVerdict:
        notes = tuple(_clean(note) for note in self.notes)
        return DomainVerdict(_clean(self.domain), self.role, outcome, cause, reply, _clean(reason), notes)


def unresolvable(name: str) -> str | None:
    """Why `name` (A-label form) can have no address in the DNS, in words; None when it must be looked up."""
    if len(name) > MAX_NAME_OCTETS:
        return f"the name is longer than {MAX_NAME_OCTETS} octets"
    last = name.rpartition(".")[2]
    if last in SPECIAL_USE:
        return f"{name} is under .{last}, which is not in the DNS"
    if last.isdecimal():
        return f"{name} ends in a number (RFC 1123 2.1)"
    return None


def _addresses_in(answer: Found) -> list[str]:
    return [str(record.address) for record in answer.records if isinstance(record, A | AAAA)]


def _clean(text: str) -> str:
    return cut(_UNPRINTABLE.sub(" ", text))
