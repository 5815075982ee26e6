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
    """`removed` is what all recipes may have left behind; None: on the standard ports. `standard` are the recipes that
    do not fit the configuration, so that only the standard ports are known for them.

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
    standard: tuple[str, ...] = ()

    @classmethod
    def fitting(cls, config: Config, **choices: str) -> Self:
        found = Footprint()
        standard = []
        for recipe in CATALOGUE:
            own = _own(recipe, choices)
            try:
                found += recipe.fitting(config, **own).footprint
            except RecipeUnavailable:
                # It may be in all the same: the configuration may have changed since.
                found += recipe(**own).footprint
                standard.append(recipe.name)
        return cls(removed=found, standard=tuple(standard), **choices)

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
