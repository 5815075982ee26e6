"""The checks of a domain's DNS as the scheduler's checker: ownership and MX, of which a state is made.

Who may claim a name was decided with the claim; what is asked here is whether its proof stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.domains.checker import UNKNOWN, Answered, Asked, seen_by
from gateway.domains.checks import mx, ownership
from gateway.domains.checks.domain import CHECK_SECONDS
from gateway.domains.checks.ownership import Claim, KnownToken, Parent
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probing
from gateway.domains.token import label


class DnsChecker:
    """Asks the resolver and the domain's own servers, as `[dns]` allows."""

    def __init__(self, probing: Probing) -> None:
        self._probing = probing

    async def __call__(self, asked: Asked, /) -> Answered:
        if not asked.tokens:
            return UNKNOWN
        try:
            async with asyncio.timeout(CHECK_SECONDS), self._probing.open() as probe:
                looks = []
                if "ownership" in asked.kinds:
                    looks.append(ownership.check_ownership(asked.domain, claim_of(asked), probe))
                if "mx" in asked.kinds:
                    looks.append(mx.check_mx(asked.domain, tuple(asked.mx_hosts), (), probe))
                results = await asyncio.gather(*looks)
        except TimeoutError:
            return UNKNOWN
        return answered(asked, results)


def claim_of(asked: Asked) -> Claim:
    """What `check_ownership` looks for. Two sights of a first proof are the state machine's business."""
    newest, *older = asked.tokens
    known = {each.token: KnownToken(each.organisation_id, asked.domain, each.revoked) for each in asked.known.values()}
    return Claim(
        token=newest.token,
        gateway_name=asked.gateway,
        label=label(asked.label, asked.scope),
        also=tuple(each.token for each in older),
        account=asked.organisation_id,
        identify=ownership.known_tokens(known),
        parents={name: Parent(whose, "tree") for name, whose in asked.parents.items()},
        agreed=True,
    )


def answered(asked: Asked, results: Iterable[Result]) -> Answered:
    """What the results say about the two facts."""
    results = tuple(results)
    facts = next((result.facts for result in results if result.check == ownership.CHECK), {})
    token = next((each for each in asked.tokens if each.token == facts.get("token")), None)
    return Answered(
        seen_by("ownership", results),
        seen_by("mx", results),
        token,
        facts.get("secure") == "yes",
        frozenset(facts.get("name_servers", "").split()),
        tuple(seen.as_json() for result in results for seen in result.observations),
    )
