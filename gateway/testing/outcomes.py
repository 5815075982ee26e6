"""What became of a message in a test, as typed values: explained, or sent. Nothing here runs anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.explain import Explanation
from gateway.mail.message import TagValue
from gateway.mail.reply import Reply
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep

_OWN_HEADERS = ("x-stellwerk-", "received:")


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call of one hook: what it answered, in words, or what went wrong, with the line where."""

    hook: str
    plugin: str
    answer: tuple[str, ...] = ()
    error: str = ""
    on_error: str = ""
    milliseconds: float = 0.0
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a plan. `by` has (plugin, rule, reason) of everybody who routed it; `headers` are the lines added.

    `kind` is `deliver`, `hold`, `discard` or `refuse`; only `deliver` has `to` and `via`.
    """

    recipient: str
    kind: str
    to: str = ""
    via: str = ""
    by: tuple[tuple[str, str, str], ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """What would happen. `headers` are the lines that plugins put on every copy; `copies` tells them one by one.

    `reply` is the one to the end of data, `refused` has the reply to RCPT of each recipient that was not taken.
    """

    reply: Reply
    tags: Mapping[str, TagValue]
    headers: tuple[str, ...]
    copies: tuple[Copy, ...]
    refused: Mapping[str, Reply]
    calls: tuple[HookCall, ...]
    plan: DeliveryPlan | None
    json: Mapping[str, Any] = field(repr=False)

    @property
    def failures(self) -> tuple[HookCall, ...]:
        """The calls that went wrong."""
        return tuple(call for call in self.calls if call.error)

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """The final addresses of each recipient's copies."""
        found: dict[str, list[str]] = {}
        for copy in self.copies:
            found.setdefault(copy.recipient, []).extend([copy.to] if copy.to else [])
        return {recipient: tuple(to) for recipient, to in found.items()}


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened, as `stellwerk trace ID --json` tells it in `json`, and the parts that tests ask for."""

    id: str
    tags: Mapping[str, TagValue]
    outcome: str
    calls: tuple[HookCall, ...]
    json: Mapping[str, Any] = field(repr=False)

    @property
    def failures(self) -> tuple[HookCall, ...]:
        """The calls that went wrong; `error` ends with file and line."""
        return tuple(call for call in self.calls if call.error)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was sent over a real connection. `reply` is the last reply that counts, `replies` one each.

    `id` is the transaction's, empty when the gateway gave none.
    """

    reply: Reply
    replies: Mapping[str, Reply]
    id: str
    _trace: Callable[[str], Trace] = field(repr=False)

    @property
    def trace(self) -> Trace:
        """The story of this transaction. Raises `LookupError` when there is none."""
        return self._trace(self.id)


def explained(told: Explanation) -> Explained:
    """`told` as tests see it."""
    plan = told.plan
    return Explained(
        reply=told.reply,
        tags=dict(told.tags),
        headers=() if plan is None else _lines(plan.edits.prepend),
        copies=() if plan is None else tuple(_copies(plan)),
        refused=dict(told.refused),
        calls=tuple(hook_calls(told.events)),
        plan=plan,
        json=told.to_json(),
    )


def traced(story: Mapping[str, Any]) -> Trace:
    """A story from the store as tests see it."""
    calls = tuple(hook_calls(story["events"]))
    return Trace(str(story["id"]), dict(story["tags"]), str(story["outcome"]), calls, story)


def hook_calls(events: Iterable[Mapping[str, Any]]) -> Iterator[HookCall]:
    """Every call of a hook in the events of a trace, in order."""
    for event in events:
        if "plugin" in event:
            yield HookCall(
                str(event["hook"]),
                str(event["plugin"]),
                tuple(event.get("answer", ())),
                str(event.get("error", "")),
                str(event.get("on_error", "")),
                float(event.get("ms", 0.0)),
                bool(event.get("shadow", False)),
            )
        yield from hook_calls(event.get("hooks", ()))


def _copies(plan: DeliveryPlan) -> Iterator[Copy]:
    for recipient in plan.recipients:
        for planned in recipient.steps:
            yield _copy(str(recipient.original.address), planned)


def _copy(recipient: str, planned: PlannedStep) -> Copy:
    by = tuple((each.plugin, each.rule, each.reason) for each in planned.descent if each.plugin != "core")
    step = planned.step
    if isinstance(step, DeliverStep):
        return Copy(recipient, "deliver", str(step.to), step.via, by, _lines(step.edits.prepend))
    return Copy(recipient, type(step).__name__.lower(), by=by)


def _lines(prepended: Iterable[str]) -> tuple[str, ...]:
    """Without the gateway's own."""
    return tuple(line for line in prepended if not line.lower().startswith(_OWN_HEADERS))
