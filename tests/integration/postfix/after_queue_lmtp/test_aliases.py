"""Both alias variants of the recipe: an alias expands once, whichever side holds it."""

from __future__ import annotations

import pytest

from gateway.postfix_recipes.after_queue import Aliases
from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.messages import message

pytestmark = pytest.mark.server("postfix")

# Each of these gives somebody a second copy when it is expanded a second time.
ALIASES = {
    "team@example.test": ["team@example.test", "anna@example.test"],
    "office@example.test": ["team@example.test", "bo@example.test"],
}


@pytest.mark.parametrize(
    ("aliases_in", "gateway_is_asked_for"),
    [
        # before the gateway nothing expands: the gateway's own aliases see the address as the sender wrote it
        ("stellwerk", {"office@example.test"}),
        ("postfix", {"team@example.test", "anna@example.test", "bo@example.test"}),
    ],
)
async def test_alias_expands_once(
    behind_queue: StartBehindQueue, aliases_in: Aliases, gateway_is_asked_for: set[str]
) -> None:
    pair = await behind_queue(["anna", "bo", "team", "office", "archive"], aliases_in=aliases_in)
    pair.postfix.write_aliases(ALIASES)
    pair.postfix.set(always_bcc="archive@example.test")
    await pair.postfix.reload()
    await pair.postfix.inject(message(), "cleo@client.example", ["office@example.test"])
    await pair.postfix.wait_until_queue_is_empty()
    counts = {name: len(pair.postfix.delivered(name)) for name in ("anna", "bo", "team", "office", "archive")}
    assert counts == {"anna": 1, "bo": 1, "team": 1, "office": 0, "archive": 1}
    assert {reply.to for reply in pair.replies()} - {"archive@example.test"} == gateway_is_asked_for


async def test_without_the_override_an_alias_expands_twice(behind_queue: StartBehindQueue) -> None:
    """What the line is there for, and that the test above would notice."""

    def without_override(main_cf: str) -> str:
        return main_cf.replace("receive_override_options = no_address_mappings\n", "")

    pair = await behind_queue(["anna", "team"], change_main_cf=without_override)
    pair.postfix.write_aliases(ALIASES)
    await pair.postfix.reload()
    await pair.postfix.inject(message(), "cleo@client.example", ["team@example.test"])
    await pair.postfix.wait_until_queue_is_empty()
    assert len(pair.postfix.delivered("anna")) == 2
