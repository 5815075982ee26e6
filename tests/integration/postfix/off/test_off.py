"""`off` takes out whatever a recipe put in: Postfix's configuration is then what it was before."""

from __future__ import annotations

import pytest

from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.recipe import Recipe, parts
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.postfix.recipe_pair import comparable

pytestmark = pytest.mark.server("postfix")


@pytest.mark.parametrize("recipe", CATALOGUE, ids=[recipe.name for recipe in CATALOGUE])
async def test_configuration_is_what_it_was(postfix: PostfixInstance, recipe: type[Recipe]) -> None:
    front = {choice.field: postfix.front for choice in recipe.choices if choice.field == "service"}
    printed = parts(recipe(**front).render())
    off = parts(Off(service=postfix.front).render())["commands"]
    before = comparable(await postfix.configuration())
    await postfix.apply(printed)
    assert comparable(await postfix.configuration()) != before
    # both, as by mistake: the second finds nothing to do
    await postfix.paste(_without_daemon(printed.get("back", "") + off))
    assert comparable(await postfix.configuration()) == before


def _without_daemon(commands: str) -> str:
    """No Postfix runs here that could be told; where one does, the whole text is pasted."""
    return "".join(line for line in commands.splitlines(True) if not line.startswith(("postfix ", "postsuper ")))
