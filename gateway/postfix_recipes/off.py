"""The recipe `off`: commands that take every other recipe out of Postfix again, and free the mail in its queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.recipe import Footprint, Recipe, RecipeUnavailable


def _standard() -> Footprint:
    return sum((recipe().footprint for recipe in CATALOGUE), Footprint())


@dataclass(frozen=True, slots=True)
class Off(Recipe):
    """`removed` is what all recipes that fit the configuration may have left behind; None: on the standard ports."""

    name = "off"
    when = "to take Stellwerk out of Postfix again, whichever recipe it came in by"

    removed: Footprint | None = None

    @classmethod
    def fitting(cls, config: Config) -> Self:
        found = Footprint()
        problems = []
        for recipe in CATALOGUE:
            try:
                found += recipe.fitting(config).footprint
            except RecipeUnavailable as error:
                problems.append(f"{recipe.name}: {error}")
        if len(problems) == len(CATALOGUE):
            raise RecipeUnavailable(
                "no recipe fits this configuration, so there is nothing to take out for its ports; --standard-ports "
                "prints the commands for the standard ones\n" + "\n".join(problems)
            )
        return cls(found)

    @property
    def footprint(self) -> Footprint:
        return self.removed if self.removed is not None else _standard()
