"""Whether the key that we gave out for a domain stands in its DNS, and what stands there instead.

A key is compared as a whole, in constant time, never as a part of something. Who may claim a name at all is decided
elsewhere; what was decided comes in as `Claim`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.dns.answers import Answer, Found, NotFound, Unknown
from gateway.domains.checks.look import Look, Views, quoted, txt_values
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe

CHECK = "ownership"
_SPACE = " \t\r\n\f\v"


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A key that was given out before, or to somebody else."""

    account: str
    domain: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Parent:
    """A proven domain above the claimed one."""

    account: str
    scope: Literal["exact", "tree"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is looked for: `token` at `label`.`domain`, for the gateway `gateway_name`.

    `also` are older tokens of the same claim that still count while the new one takes over; `token` is what to publish.
    `identify` tells whose key a found one is, None for a strange one. `parents` are the proven domains above.
    `suffix`: the domain is a public suffix that nobody may claim, or a private one that the operator must agree to;
    `agreed` says that whoever had to agree has done so. `registrable` is the domain one label below the public suffix,
    where it is known. `first_proof` asks for more than keeping does: two observations unless DNSSEC proves the answer;
    `observations` says how many in a row have seen the key, this one included.
    """

    token: str
    gateway_name: str
    label: str
    also: tuple[str, ...] = ()
    account: str = ""
    identify: Callable[[str], KnownToken | None] = field(default=lambda token: None)
    parents: Mapping[str, Parent] = field(default_factory=dict, hash=False)
    suffix: Literal["", "public", "private"] = ""
    agreed: bool = False
    registrable: str = ""
    first_proof: bool = False
    observations: int = 1

    @property
    def record(self) -> str:
        """The text to publish."""
        return f"token={self.token} gateway={self.gateway_name} expiry=never"


async def check_ownership(domain: str, claim: Claim, probe: Probe) -> Result:
    """Look for the key where it belongs, and where it is often put by mistake.

    Three facts are for the caller: `token` is the one that was found, `secure` is "yes" when DNSSEC proved the answer,
    `name_servers` is the zone's NS set.
    """
    return await _Ownership(domain, claim, Look(CHECK, probe, required=True)).run()


class _Ownership:
    def __init__(self, domain: str, claim: Claim, look: Look) -> None:
        self.domain = domain
        self.claim = claim
        self.look = look
        self.name = f"{claim.label}.{domain}"
        self.facts = {"domain": domain, "name": self.name, "label": claim.label, "record": claim.record}

    async def run(self) -> Result:
        claim = self.claim
        if claim.suffix == "public":
            return self.end("fail", "public_suffix")
        if claim.suffix == "private" and not claim.agreed:
            return self.end("temp", "private_suffix")
        trees = {name: parent for name, parent in claim.parents.items() if self.is_below(name, parent)}
        for name, parent in trees.items():
            if parent.account == claim.account:
                return self.end("pass", "by_parent", parent=name)
        if trees and not claim.agreed:
            return self.end("temp", "parent_owned_by_other")
        return await self.judge(await self.look.ask_all(self.domain, self.name, "TXT"))

    def is_below(self, name: str, parent: Parent) -> bool:
        return parent.scope == "tree" and self.domain.endswith("." + name)

    async def judge(self, views: Views) -> Result:
        self.facts["name_servers"] = " ".join((await self.look.probe.zone(self.domain)).names)
        if isinstance(views.resolver, Found) and views.resolver.authenticated:
            self.facts["secure"] = "yes"
        for answer in (views.resolver, views.second):
            if isinstance(answer, Unknown):
                return self.look.unknown(answer, **self.facts)
        proven = [self.proves(answer) for answer in views.all]
        of_authorities = proven[len(proven) - len(views.authorities) :] if views.authorities else []
        if any(of_authorities) and not all(of_authorities):
            return self.end("temp", "authoritative_disagree")
        if all(proven):
            return await self.proved(views)
        if any(proven):
            if of_authorities and all(of_authorities):
                # The servers have it; a resolver still remembers the answer from before.
                behind = max(answer.ttl for answer in views.all if isinstance(answer, Found | NotFound))
                return self.end("temp", "resolver_behind", seconds=str(behind))
            return self.end("temp", "resolver_disagree")
        return await self.absent(views)

    def proves(self, answer: Answer) -> bool:
        return any(self.fault(value) is None for value in txt_values(answer))

    def fault(self, value: str) -> tuple[int, Reason] | None:
        """Why one TXT value is not our key, with its rank: the most telling fault of several is told."""
        token, gateway = _read(value)
        claim = self.claim
        known = claim.identify(token) if token else None
        if known is not None and known.revoked:
            return 4, "token_revoked"
        same = [_same(token, each) for each in (claim.token, *claim.also)]
        if token and any(same):
            if gateway and not _same(gateway.rstrip("."), claim.gateway_name.rstrip(".")):
                return 5, "wrong_gateway"
            return None
        if known is not None and known.account != claim.account:
            return 3, "token_other_account"
        if known is not None and known.domain != self.domain:
            return 2, "token_other_domain"
        return 1, "token_mismatch"

    async def proved(self, views: Views) -> Result:
        claim = self.claim
        values = [value for value in txt_values(views.resolver) if self.fault(value) is None]
        found = {_read(value)[0] for value in values}
        self.facts["token"] = next(each for each in (claim.token, *claim.also) if each.lower() in found)
        if claim.first_proof and "secure" not in self.facts and claim.observations < 2:
            return self.end("temp", "second_observation")
        if all(_unquoted(value) != value.strip(_SPACE) for value in values):
            return self.end("pass", "extra_quotes")
        # A name nobody has published: if the key is there as well, a wildcard gave both.
        stray = await self.look.ask(f"{claim.label}-wildcard.{self.domain}", "TXT")
        return self.end("pass", "token_by_wildcard" if self.proves(stray) else "ok")

    async def absent(self, views: Views) -> Result:
        values = [value for answer in views.all for value in txt_values(answer)]
        misplaced = await self.misplaced()
        if misplaced is not None:
            return misplaced
        if values:
            _, reason = max(fault for value in values if (fault := self.fault(value)) is not None)
            return self.end("fail", reason, found=quoted(list(dict.fromkeys(values))))
        if await domain_is_gone(self.look, self.domain, self.claim.registrable):
            return self.end("fail", "domain_nxdomain")
        return self.end("fail", "token_missing")

    async def misplaced(self) -> Result | None:
        """The three places where panels and people put the key instead."""
        label, domain = self.claim.label, self.domain
        places: list[tuple[Reason, str]] = [
            ("misplaced_apex", domain),
            ("misplaced_doubled_suffix", f"{self.name}.{domain}"),
            ("misplaced_no_underscore", f"{label.lstrip('_')}.{domain}"),
        ]
        answers = await asyncio.gather(*(self.look.ask(name, "TXT") for _, name in places))
        for (reason, name), answer in zip(places, answers, strict=True):
            if self.proves(answer):
                return self.end("fail", reason, found_at=name)
        return None

    def end(self, status: Literal["pass", "warn", "fail", "temp"], reason: Reason, **facts: str) -> Result:
        return self.look.result(status, reason, **self.facts, **facts)


async def domain_is_gone(look: Look, domain: str, registrable: str) -> bool:
    """Whether `domain` itself is not in the DNS at all, as if it were misspelt or its registration had lapsed.

    A name below a domain that exists is only not there yet. Where it is not known which name was registered, any
    ancestor of two labels or more that exists counts as one.
    """
    zone = await look.probe.zone(domain)
    for answer in zone.answers:
        look.note(answer)
    if zone.exists is not False:
        return False
    if domain == registrable:
        return True
    above = [answer for answer in zone.answers if answer.name != domain]
    if registrable:
        above = [answer for answer in above if answer.name == registrable or answer.name.endswith("." + registrable)]
    return all(isinstance(answer, NotFound) and answer.reason == "nxdomain" for answer in above)


def _read(value: str) -> tuple[str, str]:
    """The token and the gateway that a record names, lower case; unknown words are ignored, the first of two counts."""
    pairs: dict[str, str] = {}
    for word in _unquoted(value).lower().split():
        key, equals, text = word.partition("=")
        if equals:
            pairs.setdefault(key, text)
    return pairs.get("token", ""), pairs.get("gateway", "")


def _unquoted(value: str) -> str:
    """Trimmed of ASCII white space and of one pair of quotes that somebody pasted into the panel."""
    text = value.strip(_SPACE)
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].strip(_SPACE)
    return text


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.lower().encode(), other.lower().encode())


def known_tokens(table: Mapping[str, KnownToken]) -> Callable[[str], KnownToken | None]:
    """`identify` for keys that are few enough to be handed over at once."""
    return table.get
