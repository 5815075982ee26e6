"""A rule: a condition, what is done where it holds, and whether the rules below are looked at. Only data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import field_validator, model_validator

from gateway.api import Field, Reply
from stellwerk_plugins.forwarding.conditions import MAX_CONDITIONS, MAX_DEPTH, Condition, Node, levels
from stellwerk_plugins.forwarding.texts import Target, Text

MAX_TARGETS = 100
MAX_REPLY_TEXT = 200
UNDECIDED = "undecided"
"""The one tag that is not set by a rule."""


class RedirectAction(Node):
    """Send the copy to other addresses. They start at the top of the chain; a kept copy goes on to the next plugin."""

    kind: Literal["redirect"] = Field(description="what is done")
    targets: list[Target] = Field(
        min_length=1,
        max_length=MAX_TARGETS,
        description="addresses",
        json_schema_extra={"allowed": f"a list of addresses, 1 to {MAX_TARGETS}"},
    )
    keep: bool = Field(False, description="the recipient gets a copy as well")


class KeepAction(Node):
    """The recipient gets a copy, whatever rules below say; with `stop` no rule below is looked at."""

    kind: Literal["keep"] = Field(description="what is done")


class DiscardAction(Node):
    """Take the copy and drop it. The sender hears 250; only the trace tells. No rule below is looked at."""

    kind: Literal["discard"] = Field(description="what is done")


class RefuseAction(Node):
    """Refuse this recipient. No rule below is looked at, and nothing that rules above wanted is done."""

    kind: Literal["refuse"] = Field(description="what is done")
    code: int = Field(550, ge=400, le=599, description="reply code: 4xx for now, 5xx for good")
    enhanced: str = Field(
        "",
        description="enhanced status code (RFC 3463); unset: 5.7.1, or 4.7.1 with a 4xx",
        json_schema_extra={"allowed": 'a text such as "5.7.1", its first digit that of the code', "default": "none"},
    )
    text: Annotated[str, Field(min_length=1, max_length=MAX_REPLY_TEXT, pattern=r"^[ -~]+$")] = Field(
        "refused by a rule of the recipient",
        description="what the sender is told",
        json_schema_extra={"allowed": f"one line of ASCII, at most {MAX_REPLY_TEXT} characters"},
    )

    @model_validator(mode="after")
    def _is_a_reply(self) -> Self:
        self.reply()
        return self

    def reply(self) -> Reply:
        """Raises ValueError when code and enhanced status code do not fit."""
        return Reply(self.code, self.enhanced or f"{str(self.code)[0]}.7.1", self.text)


class TagAction(Node):
    """Set the tag `forwarding.NAME` on the message, for the plugins behind and the trace."""

    kind: Literal["tag"] = Field(description="what is done")
    name: Annotated[str, Field(max_length=60, pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        description="name of the tag", json_schema_extra={"allowed": "lower-case letters, digits and underscores"}
    )
    value: bool | int | Text = Field(
        True, description="its value", json_schema_extra={"allowed": "a text, a whole number, true or false"}
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name == UNDECIDED:
            raise ValueError(f'expected another name: the plugin itself sets "{UNDECIDED}"')
        return name


Action = Annotated[RedirectAction | KeepAction | DiscardAction | RefuseAction | TagAction, Field(discriminator="kind")]


class Rule(Node):
    """One rule. Rules are tried from top to bottom for each recipient; every one that holds does its part."""

    id: Annotated[str, Field(max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        description="shown in explain and trace",
        json_schema_extra={"allowed": "letters, digits, dots, dashes and underscores, at most 60"},
    )
    reason: Annotated[str, Field(max_length=MAX_REPLY_TEXT)] = Field(
        "", description="why there is this rule, for explain and trace"
    )
    when: Condition = Field(description="a condition")
    then: Action = Field(description="an action")
    stop: bool = Field(False, description="where it holds, no rule below is looked at")

    @field_validator("when")
    @classmethod
    def _is_of_a_sane_size(cls, when: Condition) -> Condition:
        sizes = [len(level) for level in levels(when)]
        if len(sizes) > MAX_DEPTH or sum(sizes) > MAX_CONDITIONS:
            raise ValueError(
                f"expected at most {MAX_CONDITIONS} conditions, nested at most {MAX_DEPTH} deep; "
                f"found {sum(sizes)}, {len(sizes)} deep"
            )
        return when

    def to_json(self) -> dict[str, Any]:
        """JSON values; what stands at its default is left out. `Rule.model_validate` reads it."""
        return self.model_dump(mode="json", exclude_defaults=True)
