"""Every recipe of `stellwerk postfix recipe`, found by name."""

from __future__ import annotations

import difflib

from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.recipe import Recipe

_ALL: tuple[type[Recipe], ...] = (*CATALOGUE, Off)
RECIPES: dict[str, type[Recipe]] = {recipe.name: recipe for recipe in _ALL}


def unknown_recipe(name: str) -> str:
    """One line for a name that no recipe has, with the nearest one."""
    nearest = difflib.get_close_matches(name.lower(), RECIPES, n=1, cutoff=0.0)
    return f'there is no recipe "{name}"; did you mean "{nearest[0]}"? known are: {", ".join(RECIPES)}'
