"""Turns what plugins return from `message_annotate` into the edits, records and jobs of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.mail.edits import (
    AddHeader,
    Edits,
    EveryCopy,
    ForMembers,
    ForRecipient,
    HeaderEdit,
    RemoveHeader,
    ReplaceHeader,
    Scope,
    Splice,
    header_line,
)
from gateway.mail.headers import Headers
from gateway.mail.message import Message
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan

Effects = Sequence[tuple[str, Any]]
"""(plugin, effect) in the order of the chain."""


@dataclass(frozen=True, slots=True)
class _Scoped:
    scope: Scope
    edit: HeaderEdit


def annotated(plan: DeliveryPlan, message: Message, effects: Effects) -> DeliveryPlan:
    """The plan with all effects in it. Its own edits are the gateway's, which stand below everybody's.

    Raises `EditError` for a header that must not reach the wire.
    """
    if not effects:
        return plan
    scoped = [_Scoped(e.scope, e) for _, e in effects if isinstance(e, (AddHeader, ReplaceHeader, RemoveHeader))]
    records = tuple(effect for _, effect in effects if isinstance(effect, Record))
    jobs = tuple(replace(effect, owner=plugin) for plugin, effect in effects if isinstance(effect, Job))
    core = everywhere = plan.edits
    recipients = plan.recipients
    if scoped:
        common = [item.edit for item in scoped if isinstance(item.scope, EveryCopy)]
        everywhere = combine(core, common, message)
        recipients = tuple(_with_edits(recipient, scoped, core, everywhere, message) for recipient in recipients)
    return DeliveryPlan(recipients, everywhere, plan.records + records, plan.jobs + jobs)


def combine(core: Edits, edits: Iterable[HeaderEdit], message: Message) -> Edits:
    """`core` and `edits` as one: added fields in chain order above the core's, splices merged by position.

    A message may begin with white space, and its first line then continues the lowest field in front of it. That field
    is the core's, which can take it: no stranger completes what a plugin says.
    """
    lines: list[str] = []
    splices = {splice.start: splice for splice in core.splices}
    touched = set(core.may_break_dkim)
    headers: Headers | None = None
    for edit in edits:
        if isinstance(edit, AddHeader):
            lines.append(header_line(edit.name, edit.value))
            continue
        headers = headers or message.headers
        fields = headers.all(edit.name)
        if isinstance(edit, ReplaceHeader):
            fields = fields[:1]
        for field in fields:
            text = f"{header_line(edit.name, edit.value)}\r\n" if isinstance(edit, ReplaceHeader) else ""
            splices[field.start] = Splice(field.start, field.end, text)
        if fields and edit.name.lower() in headers.signed_names():
            touched.add(edit.name.lower())
    return Edits(tuple(lines) + core.prepend, tuple(sorted(splices.values())), tuple(sorted(touched)))


def _with_edits(
    recipient: RecipientPlan, scoped: Sequence[_Scoped], core: Edits, everywhere: Edits, message: Message
) -> RecipientPlan:
    steps = []
    whole = sum(isinstance(item.scope, EveryCopy) for item in scoped)
    for planned in recipient.steps:
        if not isinstance(planned.step, DeliverStep):
            steps.append(planned)
            continue
        mine = [item.edit for item in scoped if _applies(item.scope, planned, planned.step)]
        edits = everywhere if len(mine) == whole else combine(core, mine, message)
        step = planned.step
        copy = DeliverStep(step.to, step.sender, step.via, edits, step.notify, step.orcpt)
        steps.append(PlannedStep(copy, planned.descent))
    return RecipientPlan(recipient.original, tuple(steps))


def _applies(scope: Scope, planned: PlannedStep, step: DeliverStep) -> bool:
    match scope:
        case EveryCopy():
            return True
        case ForMembers(mailbox):
            return any(station.address.key == mailbox.key for station in planned.descent)
        case ForRecipient(address):
            return step.to.key == address.key
