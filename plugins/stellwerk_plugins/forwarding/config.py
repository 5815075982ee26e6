"""The settings of forwarding: its rules from the configuration file, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import field_validator

from gateway.api import Field, Settings
from stellwerk_plugins.forwarding.conditions import RecipientCondition, SenderCondition, levels
from stellwerk_plugins.forwarding.rules import RedirectAction, Rule
from stellwerk_plugins.forwarding.texts import NULL_SENDER


class ForwardingSettings(Settings):
    """The rules, tried from top to bottom."""

    rule: list[Rule] = Field([], description="rules in order")

    @field_validator("rule")
    @classmethod
    def _ids_are_unique(cls, rules: list[Rule]) -> list[Rule]:
        twice = [name for name, count in Counter(rule.id for rule in rules).items() if count > 1]
        if twice:
            raise ValueError(f'two rules are called "{twice[0]}"; give each its own id')
        return rules

    def targets(self) -> list[tuple[Rule, str]]:
        """Every address that a rule sends mail to, with the rule."""
        return [
            (rule, target)
            for rule in self.rule
            if isinstance(rule.then, RedirectAction)
            for target in rule.then.targets
        ]

    def addresses(self) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
        """Every address that a rule names: the address, its key in these settings, and what it is there."""
        for index, rule in enumerate(self.rule):
            if isinstance(rule.then, RedirectAction):
                for number, target in enumerate(rule.then.targets):
                    yield target, ("rule", index, "then", "targets", number), f'rule "{rule.id}" sends mail to'
            for condition in (each for level in levels(rule.when) for each in level):
                if isinstance(condition, RecipientCondition | SenderCondition):
                    whose = "for" if isinstance(condition, RecipientCondition) else "from"
                    for address in condition.equals:
                        if address != NULL_SENDER:
                            yield address, ("rule", index, "when"), f'rule "{rule.id}" asks for mail {whose}'
