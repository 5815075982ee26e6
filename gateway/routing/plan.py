"""The delivery plan: what will happen to a message, as data; the same for `explain`, the journal and the trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.mail.address import Address
from gateway.mail.edits import NO_EDITS, Edits
from gateway.mail.envelope import Recipient
from gateway.mail.reply import Reply
from gateway.routing.effects import Job, Record
from gateway.routing.route import Descent, Discard, Hold, Refuse


@dataclass(frozen=True, slots=True)
class DeliverStep:
    """One copy: to `to`, with return path `sender` (None is `<>`), through the next hop `via`, with its `edits`."""

    to: Address
    sender: Address | None
    via: str
    edits: Edits = NO_EDITS
    notify: tuple[str, ...] = ()
    orcpt: str = ""

    @property
    def copy_key(self) -> tuple[str, str]:
        """Two steps with the same key are one copy."""
        return self.to.key, self.via

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "deliver",
            "to": str(self.to),
            "sender": None if self.sender is None else str(self.sender),
            "via": self.via,
            "edits": self.edits.to_json(),
            "notify": list(self.notify),
            "orcpt": self.orcpt,
        }


Step = DeliverStep | Hold | Discard | Refuse


def step_to_json(step: Step) -> dict[str, Any]:
    match step:
        case DeliverStep():
            return step.to_json()
        case Hold():
            return {"kind": "hold", "reason": step.reason, "rule": step.rule}
        case Discard():
            return {"kind": "discard", "reason": step.reason, "rule": step.rule}
        case Refuse():
            return {"kind": "refuse", "reply": step.reply.to_json(), "reason": step.reason, "rule": step.rule}


def step_from_json(data: dict[str, Any]) -> Step:
    match data["kind"]:
        case "deliver":
            sender = data["sender"]
            return DeliverStep(
                Address.parse(data["to"]),
                None if sender is None else Address.parse(sender),
                data["via"],
                Edits.from_json(data["edits"]),
                tuple(data["notify"]),
                data["orcpt"],
            )
        case "hold":
            return Hold(data["reason"], data["rule"])
        case "discard":
            return Discard(data["reason"], data["rule"])
        case "refuse":
            return Refuse(Reply.from_json(data["reply"]), data["rule"], data["reason"])
        case kind:
            raise ValueError(f"unknown step kind {kind!r}")


def _equal(one: Edits, other: Edits) -> bool:
    return one is other or one == other  # nearly always the first


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and the way that led to it, from the original recipient on."""

    step: Step
    descent: tuple[Descent, ...] = ()

    def to_json(self, common: Edits | None = None) -> dict[str, Any]:
        """With `common` given, edits that equal it are left out: most copies of a plan have them."""
        data = step_to_json(self.step)
        if common is not None and isinstance(self.step, DeliverStep) and _equal(self.step.edits, common):
            del data["edits"]
        data["descent"] = [station.to_json() for station in self.descent]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any], common: Edits | None = None) -> PlannedStep:
        if common is not None and data["kind"] == "deliver" and "edits" not in data:
            data = {**data, "edits": common.to_json()}
        return cls(step_from_json(data), tuple(Descent.from_json(row) for row in data["descent"]))


@dataclass(frozen=True, slots=True)
class RecipientPlan:
    """What happens for one original recipient: at least one step."""

    original: Recipient
    steps: tuple[PlannedStep, ...]

    @property
    def deliveries(self) -> Iterator[DeliverStep]:
        return (planned.step for planned in self.steps if isinstance(planned.step, DeliverStep))

    def to_json(self, common: Edits) -> dict[str, Any]:
        return {"original": self.original.to_json(), "steps": [step.to_json(common) for step in self.steps]}

    @classmethod
    def from_json(cls, data: dict[str, Any], common: Edits) -> RecipientPlan:
        steps = tuple(PlannedStep.from_json(step, common) for step in data["steps"])
        return cls(Recipient.from_json(data["original"]), steps)


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """Everything that will happen to a message. `edits` are those of every copy; steps hold theirs complete."""

    recipients: tuple[RecipientPlan, ...]
    edits: Edits = NO_EDITS
    records: tuple[Record, ...] = ()
    jobs: tuple[Job, ...] = ()

    @property
    def final_addresses(self) -> tuple[Address, ...]:
        """Every address that gets a copy, each once, in plan order."""
        found: dict[str, Address] = {}
        for recipient in self.recipients:
            for step in recipient.deliveries:
                found.setdefault(step.to.key, step.to)
        return tuple(found.values())

    def batches(self) -> tuple[tuple[DeliverStep, ...], ...]:
        """Delivery steps grouped for sharing one SMTP transaction; a copy that several recipients need appears once."""
        copies: dict[tuple[str, str], DeliverStep] = {}
        for recipient in self.recipients:
            for step in recipient.deliveries:
                copies.setdefault(step.copy_key, step)
        return group(copies.values())

    def to_json(self) -> dict[str, Any]:
        """A step of which no edits are named has those of the plan."""
        return {
            "recipients": [recipient.to_json(self.edits) for recipient in self.recipients],
            "edits": self.edits.to_json(),
            "records": [record.to_json() for record in self.records],
            "jobs": [job.to_json() for job in self.jobs],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DeliveryPlan:
        edits = Edits.from_json(data["edits"])
        return cls(
            tuple(RecipientPlan.from_json(row, edits) for row in data["recipients"]),
            edits,
            tuple(Record.from_json(row) for row in data["records"]),
            tuple(Job.from_json(row) for row in data["jobs"]),
        )


def group(steps: Iterable[DeliverStep]) -> tuple[tuple[DeliverStep, ...], ...]:
    """Steps with the same next hop, sender and bytes, kept in order."""
    steps = tuple(steps)
    if len(steps) == 1:
        return (steps,)
    groups: dict[tuple[str, Address | None, Edits], list[DeliverStep]] = {}
    for step in steps:
        groups.setdefault((step.via, step.sender, step.edits), []).append(step)
    return tuple(tuple(batch) for batch in groups.values())
