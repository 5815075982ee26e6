"""One call of one hook, for tests of the runner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gateway.hooks.runner import PluginFailure, Story
from tests.hooks.walk import call, chain


async def collected(function: Callable[..., Any], hook: str = "message_annotate", **settings: Any) -> list[Any]:
    """What one hook comes to."""
    runner = chain(call(hook, function, **settings))
    return [effect for _, effect in await runner.collect(hook, [], message="m", plan="p")]


async def told(function: Callable[..., Any], hook: str = "route_recipient", **settings: Any) -> dict[str, Any]:
    """What the story says about one call of one hook."""
    story: Story = []
    one = call(hook, function, **settings)
    with suppress(PluginFailure):
        await chain(one).invoke(one, {"message": "m", "recipient": "r", "plan": "p"}, story)
    (event,) = story
    assert ("error" in event) == ("on_error" in event)
    return event
