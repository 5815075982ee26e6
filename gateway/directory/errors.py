"""Why the directory does not do what it was asked to: each text says what was found and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from gateway.errors import StellwerkError


class DirectoryError(StellwerkError):
    """A change or a look-up that the directory refuses. Nothing was changed."""


class NotFound(DirectoryError):
    """There is no such noun, or it is not visible from where it was asked for: the text is the same."""

    def __init__(self, noun: str, name: str, known: Collection[str] = (), hint: str = "") -> None:
        near = difflib.get_close_matches(name, known, 1)
        meant = f'; did you mean "{near[0]}"?' if near else ""
        super().__init__(f'there is no {noun} "{name}"{meant}{f"; {hint}" if hint else ""}')


class Conflict(DirectoryError):
    """What was asked for contradicts what is there: an address that is taken, somebody who is a member already."""


class NotAllowed(DirectoryError):
    """Whoever asks may not do this."""


class OverPlan(DirectoryError):
    """The organisation's plan does not allow one more. The text names limit and present number."""

    def __init__(self, what: str, limit: int, present: int, organisation: str, setting: str) -> None:
        super().__init__(
            f"{what}: the plan of {organisation} allows {limit}, there are {present}; end one, or raise it: "
            f"stellwerk organisation plan {organisation} --{setting} {present + 1}"
        )


class TooLarge(OverPlan):
    """As above, for the `wanted` limit of one noun: `present` is what it has, None where it has none of its own."""

    def __init__(
        self, what: str, limit: int, present: int | None, organisation: str, setting: str, wanted: int
    ) -> None:  # fmt: skip
        there = "it has no limit of its own now" if present is None else f"it is {present} now"
        DirectoryError.__init__(
            self,
            f"{what}: the plan of {organisation} allows {limit}, {there}; choose a smaller one, or raise it: "
            f"stellwerk organisation plan {organisation} --{setting} {wanted}",
        )


class BadValue(DirectoryError):
    """A value that cannot be: no address, a name with wrong characters, a date that ends before it begins."""

    exit_status = 2
