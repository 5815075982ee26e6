"""A look at all of a claim's DNS for a person who asks: every check, required and advised. It changes nothing.

What the state of a domain rests on is the scheduler's look; this one says what that would see now, and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.config.models import Config
from gateway.directory.errors import Conflict
from gateway.domains.asking import claim_of
from gateway.domains.checks.domain import Expected, check_domain, check_required
from gateway.domains.checks.ownership import Claim
from gateway.domains.checks.result import Result
from gateway.domains.checks.srv import Service
from gateway.domains.checks.texts import Language, advice, sentence
from gateway.domains.due import Names, question
from gateway.domains.lifetimes import Lifetime, lifetimes
from gateway.domains.offering import offer_of
from gateway.domains.probing import Probing
from gateway.domains.records import spf_terms
from gateway.domains.showing import Shown
from gateway.store.store import Store

GOOD = frozenset({"pass", "warn"})
"""What a required check must come to: a warning says that it works, and could be better."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What all checks of one claim came to at POSIX time `at`."""

    shown: Shown
    at: float
    results: tuple[Result, ...]

    @property
    def required(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.required)

    @property
    def passes(self) -> bool:
        """Whether every required check does."""
        return bool(self.required) and all(result.status in GOOD for result in self.required)

    def of(self, check: str) -> Result:
        """The result of a check that is always made."""
        return next(result for result in self.results if result.check == check)

    @property
    def lifetimes(self) -> tuple[Lifetime, ...]:
        """How long others may see what was seen of the required records."""
        return lifetimes(self.required)

    def as_json(self, language: Language) -> dict[str, Any]:
        """For programs: results with everything that was seen, and the sentences beside them."""
        row = self.shown.row
        return {
            "domain": row.name,
            "organisation": self.shown.organisation,
            "state": row.state,
            "waits_for_operator": row.hold,
            "next_look_at": row.next_look_at,
            "checked_at": self.at,
            "required_pass": self.passes,
            "language": language,
            "checks": [
                {**each.as_json(), "sentence": sentence(each, language), "advice": advice(each, language)}
                for each in self.results
            ],
            "lifetimes": [each.as_json() for each in self.lifetimes],
        }


async def inspect(
    store: Store, config: Config, shown: Shown, probing: Probing, *, advice_of: Inspection | None = None
) -> Inspection:
    """Ask DNS now; with `advice_of` for what is required only, and the advice is taken from there.

    Raises `Conflict` for a claim that has nothing to prove, and `StoreUnavailable`.
    """
    expected = await expectation(store, config, shown, probing.clock())
    if advice_of is None:
        results = await check_domain(shown.row.name, expected, probing)
    else:
        required = await check_required(shown.row.name, expected, probing)
        results = (*required, *(each for each in advice_of.results if not each.required))
    return Inspection(shown, probing.clock(), results)


async def expectation(store: Store, config: Config, shown: Shown, now: float) -> Expected:
    """What this gateway wants to see: exactly the records that `stellwerk domain records` names."""
    offer = offer_of(config, shown)
    asked = await question(store, shown.row, Names(config.domains.label, config.gateway_name, offer.mx_hosts), now)
    if not asked.tokens:
        raise Conflict(
            f"every key of {shown.row.name} is revoked, so there is nothing to look for; "
            f"get a new one: stellwerk domain token {shown.row.name} --new"
        )
    return Expected(
        claim=_with_hold(claim_of(asked), shown),
        mx_hosts=tuple(offer.mx_hosts),
        spf_terms=spf_terms(offer),
        services=_services(offer.services),
    )


async def zone_of(domain: str, probing: Probing) -> str:
    """The zone that a domain's records are entered in, as DNS tells; empty when it does not."""
    async with probing.open() as probe:
        return (await probe.zone(domain)).apex


def _with_hold(claim: Claim, shown: Shown) -> Claim:
    """What waits for the operator is told as such: the DNS may be in order, and nothing happens all the same."""
    hold = shown.row.hold
    return replace(claim, agreed=not hold, suffix="private" if hold == "private_suffix" else "")


def _services(offered: Sequence[Any]) -> tuple[Service, ...]:
    return tuple(Service(f"_{each.name}._tcp", each.target, each.port) for each in offered)
