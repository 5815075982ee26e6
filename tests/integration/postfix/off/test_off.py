"""`off` takes out whatever a recipe put in: Postfix's configuration is then what it was before."""

from __future__ import annotations

import pytest

from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.recipe import Recipe, parts
from tests.integration.postfix.instance import PostfixInstance

pytestmark = pytest.mark.server("postfix")

FILES = {f"{recipe.name}/{file}": values for recipe in CATALOGUE for file, values in recipe.shipped().items()}


@pytest.fixture(scope="module")
def off() -> str:
    return parts(Off().render())["commands"]


@pytest.mark.parametrize("recipe", FILES.values(), ids=FILES)
async def test_configuration_is_what_it_was(postfix: PostfixInstance, off: str, recipe: Recipe) -> None:
    printed = parts(recipe.render())
    before = await postfix.configuration()
    for commands in (off, printed.get("back", off)):
        await postfix.apply(printed)
        assert await postfix.configuration() != before
        # pasted twice by mistake, it does no harm
        for _ in range(2):
            await postfix.paste(_without_daemon(commands))
            assert _but_for_sizes(await postfix.configuration()) == _but_for_sizes(before)


def _without_daemon(commands: str) -> str:
    """No Postfix runs here that could be told; where one does, the whole text is pasted."""
    return "".join(line for line in commands.splitlines(True) if not line.startswith(("postfix ", "postsuper ")))


def _but_for_sizes(configuration: list[str]) -> list[str]:
    return [line for line in configuration if not line.startswith(("message_size_limit", "mailbox_size_limit"))]
