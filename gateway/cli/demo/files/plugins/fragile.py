"""A plugin of the demo, with a bug: it breaks on every message whose subject says "crash"."""

from __future__ import annotations

from gateway.api import Message, Plugin, Settings, hookimpl


class Fragile(Plugin[Settings]):
    """Breaks on purpose."""

    @hookimpl
    def message_received(self, message: Message) -> None:
        if "crash" in message.headers.get("subject").lower():
            raise RuntimeError("the bug of the demo")
