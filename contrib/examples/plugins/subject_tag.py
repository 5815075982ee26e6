"""An example plugin: tags mail by a word in its subject, and shows the tag in a header field."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from gateway.api import AddHeader, DeliveryPlan, Effect, Message, Plugin, Registry, Settings, Tag, hookimpl


class SubjectTagSettings(Settings):
    """[plugin.subject_tag]"""

    word: str = Field("invoice", min_length=1, description="the word to look for, in any case")


class SubjectTag(Plugin[SubjectTagSettings]):
    """`subject_tag.found` is set on mail whose subject has the word."""

    config_model = SubjectTagSettings
    on_error = "skip"  # a decoration: mail goes on without it

    @hookimpl
    def register(self, registry: Registry) -> None:
        registry.tag("found", "the subject has the word")

    @hookimpl
    def message_received(self, message: Message) -> Tag | None:
        found = self.config.word.lower() in message.headers.get("subject").lower()
        return Tag("found") if found else None

    @hookimpl
    def message_annotate(self, message: Message, plan: DeliveryPlan) -> Iterable[Effect]:
        if message.tags.get("subject_tag.found"):
            yield AddHeader("X-Subject-Tag", self.config.word)
