"""Cases of `ownership`: does the key stand in the DNS of the domain, and may this account have it?"""

from __future__ import annotations

from typing import Literal

from gateway.domains.checks.ownership import Claim, KnownToken, Parent, check_ownership, known_tokens
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe
from tests.dns.cases import Case, run_check

PARAMS = {
    "token", "account", "label", "gateway_name", "known_tokens", "verified_parents", "require_two_observations",
    "observations",
}  # fmt: skip


def suffix_of(domain: str) -> Literal["", "public", "private"]:
    """What the public suffix list says; the rules about names bring the list itself."""
    return {"co.uk": "public", "com": "public", "github.io": "private"}.get(domain, "")  # type: ignore[return-value]


async def run_ownership(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        return await check_ownership(case["domain"], claim_of(case["domain"], params), probe)

    await run_check(case, PARAMS, check, required=True)


def claim_of(domain: str, params: Case) -> Claim:
    known = {
        token: KnownToken(facts["account"], facts["domain"], facts.get("revoked", False))
        for token, facts in params.get("known_tokens", {}).items()
    }
    parents = params.get("verified_parents", {})
    return Claim(
        token=params["token"],
        gateway_name=params["gateway_name"],
        label=params["label"],
        account=params["account"],
        identify=known_tokens(known),
        parents={name: Parent(facts["account"], facts["scope"]) for name, facts in parents.items()},
        suffix=suffix_of(domain),
        first_proof=params.get("require_two_observations", False),
        observations=params.get("observations", 1),
    )
