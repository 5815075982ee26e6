"""Cases of `ownership`: does the key stand in the DNS of the domain, and may this account have it?"""

from __future__ import annotations

from typing import Literal

from gateway.domains.checks.ownership import Claim, KnownToken, Parent, check_ownership, known_tokens
from tests.dns.cases import Case, compare, params_of, scene

PARAMS = {
    "token", "account", "label", "gateway_name", "known_tokens", "verified_parents", "require_two_observations",
    "observations",
}  # fmt: skip


def suffix_of(domain: str) -> Literal["", "public", "private"]:
    """What the public suffix list says; the rules about names bring the list itself."""
    return {"co.uk": "public", "com": "public", "github.io": "private"}.get(domain, "")  # type: ignore[return-value]


async def run_ownership(case: Case) -> None:
    params = params_of(case, PARAMS)
    known = {
        token: KnownToken(facts["account"], facts["domain"], facts.get("revoked", False))
        for token, facts in params.get("known_tokens", {}).items()
    }
    claim = Claim(
        token=params["token"],
        gateway_name=params["gateway_name"],
        label=params["label"],
        account=params["account"],
        identify=known_tokens(known),
        parents={
            name: Parent(facts["account"], facts["scope"]) for name, facts in params.get("verified_parents", {}).items()
        },
        suffix=suffix_of(case["domain"]),
        first_proof=params.get("require_two_observations", False),
        observations=params.get("observations", 1),
    )
    async with scene(case) as played:
        results = []
        for moment in played.moments:
            played.now = moment
            async with played.probing.open() as probe:
                results.append(await check_ownership(case["domain"], claim, probe))
        for result in played.compared(results):
            compare(result, case)
            assert result.required
