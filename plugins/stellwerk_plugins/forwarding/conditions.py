"""The conditions of a rule as a typed tree, the same in the configuration file and as JSON. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, model_validator
from pydantic.config import JsonDict

from gateway.api import Field, Settings
from stellwerk_plugins.forwarding.texts import (
    AddressGlobs,
    HeaderName,
    Keys,
    KeysOrNull,
    Networks,
    Patterns,
    Text,
    Texts,
    WordTexts,
)

MAX_DEPTH = 10
MAX_CONDITIONS = 200

_LIST: JsonDict = {"allowed": "a list of conditions"}
_TEXTS: JsonDict = {"allowed": "a text or a list of texts"}
_PATTERNS: JsonDict = {"allowed": "an RE2 pattern or a list of them"}


class Node(Settings):
    """What conditions and actions have in common: a value of another type is an error, never converted."""

    model_config = ConfigDict(strict=True)


class AllOf(Node):
    """Every one of the conditions holds."""

    kind: Literal["all"] = Field(description="what is looked at")
    conditions: list[Condition] = Field(min_length=1, description="all of them must hold", json_schema_extra=_LIST)


class AnyOf(Node):
    """At least one of the conditions holds."""

    kind: Literal["any"] = Field(description="what is looked at")
    conditions: list[Condition] = Field(min_length=1, description="one of them must hold", json_schema_extra=_LIST)


class Not(Node):
    """The condition does not hold."""

    kind: Literal["not"] = Field(description="what is looked at")
    condition: Condition = Field(description="it must not hold", json_schema_extra={"allowed": "a condition"})


class _Compared(Node):
    """A text that is compared in one way. Several texts are alternatives."""

    @model_validator(mode="after")
    def _compares_in_one_way(self) -> Self:
        ways = [name for name in type(self).model_fields if name not in {"kind", "name"}]
        used = [name for name in ways if getattr(self, name)]
        if len(used) != 1 and not (not used and self._may_be_bare()):
            raise ValueError(f"expected exactly one of {', '.join(ways)}; found {' and '.join(used) or 'none'}")
        return self

    def _may_be_bare(self) -> bool:
        return False


class RecipientCondition(_Compared):
    """The recipient whose copy is being routed, as it stands or with its +subaddress left aside."""

    kind: Literal["recipient"] = Field(description="what is looked at")
    equals: Keys = Field([], description="is one of these addresses", json_schema_extra=_TEXTS)
    glob: AddressGlobs = Field([], description='fits one of these globs ("*@example.test")', json_schema_extra=_TEXTS)
    pattern: Patterns = Field([], description="holds a match of one of these", json_schema_extra=_PATTERNS)


class SenderCondition(_Compared):
    """The envelope's sender, as it stands or with its +subaddress left aside."""

    kind: Literal["sender"] = Field(description="what is looked at")
    equals: KeysOrNull = Field(
        [], description='is one of these addresses; "<>" is the null sender of notifications', json_schema_extra=_TEXTS
    )
    glob: AddressGlobs = Field([], description='fits one of these globs ("*@example.test")', json_schema_extra=_TEXTS)
    pattern: Patterns = Field([], description="holds a match of one of these", json_schema_extra=_PATTERNS)


class TextCondition(_Compared):
    """A text of the header, compared in any case."""

    equals: Texts = Field([], description="is one of these", json_schema_extra=_TEXTS)
    contains: WordTexts = Field([], description="holds one of these", json_schema_extra=_TEXTS)
    glob: Texts = Field([], description="fits one of these as a whole (* and ?)", json_schema_extra=_TEXTS)
    pattern: Patterns = Field([], description="holds a match of one of these", json_schema_extra=_PATTERNS)


class SubjectCondition(TextCondition):
    """The subject as a reader sees it (RFC 2047 decoded), in any case."""

    kind: Literal["subject"] = Field(description="what is looked at")


class HeaderCondition(TextCondition):
    """Any header field of that name, as a reader sees it. Without a comparison: such a field is there."""

    kind: Literal["header"] = Field(description="what is looked at")
    name: HeaderName = Field(description="name of the field, in any case")

    def _may_be_bare(self) -> bool:
        return True


class SizeCondition(Node):
    """The size of the message as it is transferred, header included."""

    kind: Literal["size"] = Field(description="what is looked at")
    at_least_bytes: int | None = Field(None, ge=0, description="so large or larger")
    at_most_bytes: int | None = Field(None, ge=0, description="so large or smaller")

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        if self.at_least_bytes is None and self.at_most_bytes is None:
            raise ValueError("expected at_least_bytes, at_most_bytes or both")
        if self.at_most_bytes is not None and (self.at_least_bytes or 0) > self.at_most_bytes:
            raise ValueError("at_least_bytes is larger than at_most_bytes: no message is both")
        return self


class ClientCondition(Node):
    """The client that the mail is from: behind a Postfix that says it by XFORWARD, that one's client."""

    kind: Literal["client"] = Field(description="what is looked at")
    network: Networks = Field(
        min_length=1,
        description='its address is in one of these ("192.0.2.0/24", "2001:db8::1")',
        json_schema_extra=_TEXTS,
    )


class TagCondition(Node):
    """A tag that a plugin in front of this one has set."""

    kind: Literal["tag"] = Field(description="what is looked at")
    name: Annotated[Text, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")] = Field(
        description="the tag with its plugin",
        json_schema_extra={"allowed": 'a name such as "size_limit.attachment_bytes"'},
    )
    value: bool | int | Text | None = Field(
        None,
        description="it has exactly this value; unset: it is there and not false",
        json_schema_extra={"allowed": "a text, a whole number, true or false"},
    )


Condition = Annotated[
    AllOf
    | AnyOf
    | Not
    | RecipientCondition
    | SenderCondition
    | SubjectCondition
    | HeaderCondition
    | SizeCondition
    | ClientCondition
    | TagCondition,
    Field(discriminator="kind"),
]

for _model in (AllOf, AnyOf, Not):
    _model.model_rebuild()


def below(condition: Condition) -> list[Condition]:
    """The conditions that this one is made of."""
    match condition:
        case AllOf() | AnyOf():
            return condition.conditions
        case Not():
            return [condition.condition]
        case _:
            return []


def levels(condition: Condition) -> Iterator[list[Condition]]:
    """The tree, level by level."""
    level = [condition]
    while level:
        yield level
        level = [each for above in level for each in below(above)]
