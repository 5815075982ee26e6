"""Expands recipients through the plugins' routes until nothing changes. It always ends.

In one line of descent an address is offered to each plugin at most once; hops and final recipients are capped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.mail.address import Address
from gateway.mail.edits import NO_EDITS, Edits
from gateway.mail.envelope import Recipient
from gateway.mail.reply import MAIL_LOOP, TOO_MANY_RECIPIENTS, Reply
from gateway.routing.plan import DeliverStep, PlannedStep, RecipientPlan, Step
from gateway.routing.route import Deliver, Descent, Discard, Hold, Redirect, Refuse, Route

Ask = Callable[[int, Address], Awaitable[Route | None]]
"""`ask(index, address)`: what the plugin at that place of the chain answers for the address."""


_TOO_MANY_REDIRECTIONS = Refuse(MAIL_LOOP, reason="too many redirections")


class TooManyRecipients(Exception):
    """The expansion grew over its cap: nothing of the message is delivered."""

    reply: Reply = TOO_MANY_RECIPIENTS


@dataclass(frozen=True, slots=True)
class Limits:
    """`hops`: the longest line of descent. `recipients`: the most final steps of one message."""

    hops: int = 50
    recipients: int = 1000


@dataclass(frozen=True, slots=True)
class _Open:
    """An address waiting to be offered to the plugins from `start` on. `offered`: (place, address) pairs so far."""

    address: Address
    start: int
    descent: tuple[Descent, ...]
    offered: frozenset[tuple[int, str]]


class Resolver:
    """Resolves recipients for one configuration: the plugin chain and what the core does where nobody answers."""

    def __init__(
        self,
        plugins: Sequence[str],
        fallback: Callable[[Address], Awaitable[Route]],
        limits: Limits,
        edits: Edits = NO_EDITS,
    ) -> None:
        """`edits` are those of every copy."""
        self._plugins = tuple(plugins)
        self._fallback = fallback
        self._limits = limits
        self._edits = edits

    async def resolve(self, recipients: Sequence[Recipient], sender: Address | None, ask: Ask) -> list[RecipientPlan]:
        """One `RecipientPlan` a recipient. Raises `TooManyRecipients`; what `ask` raises passes through."""
        plans = []
        total = 0
        for recipient in recipients:
            steps = await self._expand(recipient, sender, ask, self._limits.recipients - total)
            total += len(steps)
            plans.append(RecipientPlan(recipient, steps))
        return plans

    async def _expand(
        self, recipient: Recipient, sender: Address | None, ask: Ask, budget: int
    ) -> tuple[PlannedStep, ...]:
        if not self._plugins and budget > 0:
            route = await self._fallback(recipient.address)
            if not isinstance(route, Redirect):
                here = Descent(recipient.address, "core", route.rule, route.reason)
                return (PlannedStep(self._step(route, recipient.address, sender, recipient), (here,)),)
        waiting = [_Open(recipient.address, 0, (), frozenset())]
        found: dict[object, PlannedStep] = {}
        while waiting:
            station = waiting.pop(0)
            if len(found) + len(waiting) >= budget:
                raise TooManyRecipients
            if len(station.descent) > self._limits.hops:
                found.setdefault("loop", PlannedStep(_TOO_MANY_REDIRECTIONS, station.descent))
                continue
            route, plugin, asked = await self._offer(station, ask)
            here = Descent(station.address, plugin, route.rule, route.reason)
            descent = (*station.descent, here)
            if isinstance(route, Redirect):
                waiting += self._follow(station, route, asked, descent)
                continue
            planned = PlannedStep(self._step(route, station.address, sender, recipient), descent)
            found.setdefault(_identity(planned.step), planned)
        if not found:
            return (PlannedStep(Refuse(MAIL_LOOP, reason="the redirections lead nowhere")),)
        return _with_notify_of_a_fan_out(tuple(found.values()), recipient)

    async def _offer(self, station: _Open, ask: Ask) -> tuple[Route, str, int]:
        for index in range(station.start, len(self._plugins)):
            if (index, station.address.key) in station.offered:
                continue
            route = await ask(index, station.address)
            if route is not None:
                return route, self._plugins[index], index
        return await self._fallback(station.address), "core", len(self._plugins)

    def _follow(self, station: _Open, route: Redirect, index: int, descent: tuple[Descent, ...]) -> list[_Open]:
        offered = station.offered | {(place, station.address.key) for place in range(station.start, index + 1)}
        targets = [target for target in route.targets if target.key != station.address.key]
        followed = [_Open(target, 0, descent, offered) for target in targets]
        # A redirection to oneself is a kept copy.
        if route.keep or len(targets) < len(route.targets):
            followed.insert(0, _Open(station.address, index + 1, descent, offered))
        return followed

    def _step(self, route: Route, to: Address, sender: Address | None, recipient: Recipient) -> Step:
        match route:
            case Deliver():
                return DeliverStep(to, sender, route.via, self._edits, recipient.notify, recipient.orcpt)
            case Hold() | Discard() | Refuse():
                return route
            case Redirect():
                raise AssertionError("redirections are followed, not executed")


def _identity(step: Step) -> object:
    return step.copy_key if isinstance(step, DeliverStep) else step


def _with_notify_of_a_fan_out(steps: tuple[PlannedStep, ...], recipient: Recipient) -> tuple[PlannedStep, ...]:
    """RFC 3461 5.2.7.3 (c): a list expansion reports `expanded` itself and its copies ask for nothing on success."""
    deliveries = sum(isinstance(planned.step, DeliverStep) for planned in steps)
    if deliveries < 2 or not recipient.notify_success:
        return steps
    return tuple(
        PlannedStep(_silent(planned.step), planned.descent) if isinstance(planned.step, DeliverStep) else planned
        for planned in steps
    )


def _silent(step: DeliverStep) -> DeliverStep:
    return DeliverStep(step.to, step.sender, step.via, step.edits, ("NEVER",), step.orcpt)
