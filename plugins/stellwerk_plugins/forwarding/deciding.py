"""What a list of rules comes to for one recipient. It decides; the plugin answers the hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.api import Address, Discard, Redirect, Refuse, Route, Tag
from stellwerk_plugins.forwarding.matching import Facts, holds
from stellwerk_plugins.forwarding.rules import DiscardAction, KeepAction, RedirectAction, RefuseAction, Rule, TagAction


@dataclass(slots=True)
class Decision:
    """What the rules that held want, taken together."""

    targets: dict[str, Address] = field(default_factory=dict)
    keeps: bool = False
    drops: bool = False
    refusal: Refuse | None = None
    tags: dict[str, Tag] = field(default_factory=dict)
    routed_by: list[Rule] = field(default_factory=list)
    undecided: list[Rule] = field(default_factory=list)
    """Rules that count as not holding, since what decides was not looked at."""

    def route(self) -> Route | None:
        """None where no rule says anything about the way: later plugins and the core decide."""
        if self.refusal is not None:
            return self.refusal
        if not self.routed_by:
            return None
        rule = ", ".join(each.id for each in self.routed_by)
        reason = "; ".join(each.reason for each in self.routed_by if each.reason)
        if self.targets or self.keeps:
            return Redirect(tuple(self.targets.values()), self.keeps, rule, reason)
        return Discard(reason or f"rule {rule}", rule)


class Ruleset:
    """Rules, ready to be asked."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [(rule, holds(rule.when)) for rule in rules]
        self.has_tags = any(isinstance(rule.then, TagAction) for rule in rules)

    def decide(self, facts: Facts) -> Decision:
        """Every rule that holds does its part, from top to bottom, until one is final."""
        decision = Decision()
        for rule, applies in self._rules:
            answer = applies(facts)
            if answer is None:
                decision.undecided.append(rule)
            elif answer:
                _add(rule, decision)
                if rule.stop or decision.drops or decision.refusal:
                    break
        return decision


def _add(rule: Rule, decision: Decision) -> None:
    match rule.then:
        case TagAction(name=name, value=value):
            decision.tags[name] = Tag(name, value)
            return
        case RedirectAction(targets=targets, keep=keep):
            for address in map(Address.parse, targets):
                decision.targets.setdefault(address.key, address)
            decision.keeps |= keep
        case KeepAction():
            decision.keeps = True
        case DiscardAction():
            decision.drops = True
        case RefuseAction():
            decision.refusal = Refuse(rule.then.reply(), rule.id, rule.reason)
    decision.routed_by.append(rule)
