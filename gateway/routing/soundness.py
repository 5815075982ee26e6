"""Whether what a plugin answered can be carried out: a route, or a whole plan from `plan_review`.

Each function says what is wrong in a few words, or None. Pure; what a flawed answer leads to is the planner's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from gateway.mail.address import Address, AddressError
from gateway.mail.edits import Edits
from gateway.mail.envelope import Recipient
from gateway.mail.message import Message
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan
from gateway.routing.route import Deliver, Redirect, Route

_FIELD = r"[!-9;-~]+:[^\r\n\0]*(?:\r\n[ \t][^\r\n\0]*)*"
_LINE_IN_FRONT = re.compile(rf"{_FIELD}\Z")
_REPLACEMENT = re.compile(rf"(?:{_FIELD}\r\n)*\Z")


def flaw_of_route(route: Route, next_hops: Collection[str]) -> str | None:
    """`next_hops`: the names that `Deliver` may use."""
    if not (isinstance(route.rule, str) and isinstance(route.reason, str)):
        return "rule and reason of a route are text"
    match route:
        case Deliver(via):
            return _flaw_of_hop(via, next_hops)
        case Redirect(targets, keep):
            if not isinstance(targets, tuple):
                return f"the targets of a redirection are a tuple, not {type(targets).__name__}"
            if not targets and not keep:
                return "a redirection to nobody; use Discard or Refuse"
            return next(filter(None, map(_flaw_of_address, targets)), None)
    return None


def flaw_of_plan(plan: DeliveryPlan, message: Message, next_hops: Collection[str]) -> str | None:
    """A plan answers for each accepted recipient once, can be stored and read again, invents no return path, and edits
    whole header fields only.
    """
    try:
        parts = (plan.recipients, plan.records, plan.jobs, *(each.steps for each in plan.recipients))
        if not all(isinstance(part, tuple) for part in parts):
            return "recipients, steps, records and jobs of a plan are tuples, so that no plugin can change them"
        planned = sorted((each.original for each in plan.recipients), key=_key)
        if planned != sorted(message.envelope.recipients, key=_key):
            return "the plan's recipients are not those that were accepted"
        return next(filter(None, (_flaw_of_steps(each, message, next_hops) for each in plan.recipients)), None)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return f"the plan is malformed: {type(error).__name__}: {str(error)[:200]}"


def _flaw_of_steps(recipient: RecipientPlan, message: Message, next_hops: Collection[str]) -> str | None:
    if not recipient.steps:
        return f"no step for {recipient.original.address}; use Discard or Refuse"
    for planned in recipient.steps:
        step = planned.step
        # The journal keeps it for the sender's retry: what does not survive that would be lost with it.
        if PlannedStep.from_json(json.loads(json.dumps(planned.to_json()))) != planned:
            return f"a step for {recipient.original.address} changes when it is stored: {step!r}"[:300]
        if not isinstance(step, DeliverStep):
            continue
        if message.envelope.sender is None and step.sender is not None:
            return "the null sender must stay the null sender"  # RFC 5321 6.1: else notifications could loop
        flaw = _flaw_of_hop(step.via, next_hops) or _flaw_of_edits(step.edits, message.body.header_block)
        if flaw is not None:
            return flaw
    return None


def _flaw_of_edits(edits: Edits, header: bytes) -> str | None:
    for line in edits.prepend:
        if not _LINE_IN_FRONT.match(line):
            return f"{line[:80]!r} is no header field"
    for splice in edits.splices:
        edges = (splice.start, splice.end)
        if splice.end > len(header) or any(at and header[at - 1 : at] != b"\n" for at in edges):
            return f"the splice {splice.start}..{splice.end} does not cover whole lines of the header"
        if not _REPLACEMENT.match(splice.replacement):
            return f"{splice.replacement[:80]!r} is no header field with its line end"
    return None


def _key(recipient: Recipient) -> str:
    return recipient.address.key


def _flaw_of_hop(name: object, next_hops: Collection[str]) -> str | None:
    if isinstance(name, str) and name in next_hops:
        return None
    return f"there is no next hop {str(name)[:80]!r}; there are: {', '.join(sorted(next_hops))}"


def _flaw_of_address(address: object) -> str | None:
    if not isinstance(address, Address):
        return f"a target is an Address, not {type(address).__name__}"
    try:
        sound = Address.parse(str(address)) == address
    except AddressError as error:
        return f"target {str(address)[:80]!r}: {error}"
    return None if sound else f"target {str(address)[:80]!r} is not in its normal form; use Address.parse"
