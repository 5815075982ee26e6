"""The recipe `off`: commands that take every other recipe out of Postfix again, and free the mail in its queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from gateway.config import Config
from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe, RecipeUnavailable

_FREE: dict[str, Choice] = {choice.name: choice for recipe in CATALOGUE for choice in recipe.choices if choice.is_free}


@dataclass(frozen=True, slots=True)
class Off(Recipe):
    """`removed` is what all recipes that fit the configuration may have left behind; None: on the standard ports.

    The other fields are the choices with which the recipes were printed.
    """

    name = "off"
    when = "to take Stellwerk out of Postfix again, whichever recipe it came in by"
    choices = tuple(
        Choice(choice.name, choice.values[:1], f"As it was given to the recipe. {choice.help}", "recipe", is_free=True)
        for choice in _FREE.values()
    )

    service: str = _FREE["service"].values[0]
    from_address: str = _FREE["from-address"].values[0]
    submission: str = _FREE["submission"].values[0]
    senders: str = _FREE["senders"].values[0]
    rspamd: str = _FREE["rspamd"].values[0]
    milter: str = _FREE["milter"].values[0]
    removed: Footprint | None = None

    @classmethod
    def fitting(cls, config: Config, **choices: str) -> Self:
        found = Footprint()
        problems = []
        for recipe in CATALOGUE:
            try:
                found += recipe.fitting(config, **_own(recipe, choices)).footprint
            except RecipeUnavailable as error:
                problems.append(f"{recipe.name}: {error}")
        if len(problems) == len(CATALOGUE):
            raise RecipeUnavailable(
                "no recipe fits this configuration, so there is nothing to take out for its ports; --standard-ports "
                "prints the commands for the standard ones\n" + "\n".join(problems)
            )
        return cls(removed=found, **choices)

    @property
    def footprint(self) -> Footprint:
        if self.removed is not None:
            return self.removed
        choices = {choice.field: getattr(self, choice.field) for choice in self.choices}
        return sum((recipe(**_own(recipe, choices)).footprint for recipe in CATALOGUE), Footprint())


def _own(recipe: type[Recipe], choices: dict[str, Any]) -> dict[str, Any]:
    """Those of the choices that the recipe knows."""
    known = {choice.field for choice in recipe.choices}
    return {name: value for name, value in choices.items() if name in known}
