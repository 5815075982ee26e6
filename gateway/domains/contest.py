"""Who holds a name that several claim. Pure: the claimant's proof, the holder's standing and the clock decide."""

from __future__ import annotations

from typing import Literal, TypeAlias

from gateway.domains.states import DISPUTE_SECONDS, Standing, State

Verdict: TypeAlias = Literal["pending", "granted", "disputed", "refused", "transferred", "operator"]
"""`pending`: as before, and nobody learns anything. `operator`: the holder is an operator's word, so they decide."""


def judge(claimant: Standing, holder: Standing | None, now: float) -> Verdict:
    """What comes of the claim of `claimant` now. `holder`: whoever holds the name, None for nobody.

    A claimant gains by a proven, fresh token only, and a holder loses by definite answers only: while nothing is known
    of either, all stays as it is.
    """
    facts = claimant.facts
    if not facts.is_proven_with_a_token_after(claimant.since - 1e-6) or facts.ownership.status != "pass":
        return "pending"
    if holder is None:
        return "granted"
    if holder.state is State.TRUSTED:
        return "operator"
    if holder.state is State.SUSPENDED:
        return "transferred"
    ownership = holder.facts.ownership
    if ownership.is_confirmed_failure and ownership.status == "fail":
        return "transferred"
    if holder.disputed_at is None:
        return "disputed"
    if holder.facts.is_proven_with_a_token_after(holder.disputed_at):
        return "refused"
    return "transferred" if now - holder.disputed_at >= DISPUTE_SECONDS else "pending"
