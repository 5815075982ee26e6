"""Hypothesis strategies for routes and plans."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.edits import Edits
from gateway.mail.envelope import Recipient
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan, Step
from gateway.routing.route import Deliver, Descent, Discard, Hold, Redirect, Refuse, Route
from tests.core.mail.strategies import addresses, edits_within
from tests.core.mail.strategies import replies as any_reply

words = st.text(max_size=12)
FEW = tuple(Address(name, "example.test") for name in "abcde")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
rows = st.dictionaries(words, json_values, max_size=3)
refusals = st.builds(Refuse, any_reply(lowest=400), words, words)
ends = st.builds(Hold, words, words) | st.builds(Discard, words, words) | refusals


def routes(targets: st.SearchStrategy[Address]) -> st.SearchStrategy[Route | None]:
    """What a plugin may answer: redirections to few addresses, with and without a kept copy, or an end."""
    several = st.lists(targets, max_size=4).map(tuple)
    redirects = st.builds(Redirect, several, st.booleans(), words)
    return st.none() | redirects | redirects | st.builds(Deliver, st.sampled_from(["mail", "postfix"])) | ends


edits = st.integers(0, 50).flatmap(edits_within)
notify = st.lists(st.sampled_from(["SUCCESS", "FAILURE", "DELAY"]), unique=True).map(tuple) | st.just(("NEVER",))
recipients = st.builds(Recipient, addresses(), notify, words)
deliveries = st.builds(DeliverStep, addresses(), st.none() | addresses(), words, edits, notify, words)
steps: st.SearchStrategy[Step] = deliveries | ends
descents = st.lists(st.builds(Descent, addresses(), words, words, words), max_size=3).map(tuple)
planned_steps = st.builds(PlannedStep, steps, descents)
recipient_plans = st.builds(RecipientPlan, recipients, st.lists(planned_steps, min_size=1, max_size=3).map(tuple))
records = st.builds(Record, words, rows, st.sampled_from(["error", "ignore", "replace"]), words)
jobs = st.builds(Job, words, rows, words, words)
plans = st.builds(
    DeliveryPlan,
    st.lists(recipient_plans, max_size=3).map(tuple),
    edits,
    st.lists(records, max_size=2).map(tuple),
    st.lists(jobs, max_size=2).map(tuple),
)

# Few of everything, so that copies coincide.
few_edits = st.sampled_from([Edits(), Edits(("X: 1",))])
few_steps = st.builds(
    DeliverStep,
    st.sampled_from(FEW),
    st.sampled_from([None, *FEW[:2]]),
    st.sampled_from(["mail", "postfix"]),
    few_edits,
)
