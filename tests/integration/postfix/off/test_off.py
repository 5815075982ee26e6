"""`off` takes out whatever a recipe put in: Postfix's configuration is then what it was before."""

from __future__ import annotations

import re

import pytest

from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.recipe import Recipe, parts
from tests.integration.postfix.instance import PostfixInstance

pytestmark = pytest.mark.server("postfix")


@pytest.fixture(scope="module")
def off() -> str:
    return parts(Off().render())["commands"]


@pytest.mark.parametrize("recipe", CATALOGUE, ids=[recipe.name for recipe in CATALOGUE])
async def test_configuration_is_what_it_was(postfix: PostfixInstance, off: str, recipe: type[Recipe]) -> None:
    printed = parts(recipe().render())
    before = _comparable(await postfix.configuration())
    # off is pasted twice, as by mistake
    for pasted in ([off, off], [printed.get("back", off)]):
        await postfix.apply(printed)
        assert _comparable(await postfix.configuration()) != before
        for commands in pasted:
            await postfix.paste(_without_daemon(commands))
            assert _comparable(await postfix.configuration()) == before


def _without_daemon(commands: str) -> str:
    """No Postfix runs here that could be told; where one does, the whole text is pasted."""
    return "".join(line for line in commands.splitlines(True) if not line.startswith(("postfix ", "postsuper ")))


def _comparable(configuration: list[str]) -> list[str]:
    """Without what a recipe may leave behind: the raised size limit, and a default that is written out."""
    return [line for line in configuration if not re.match(r"message_size_limit|\w+ =\Z", line)]
