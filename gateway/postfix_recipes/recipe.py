"""What every recipe is: values for one gateway, a template, and what it leaves behind in Postfix's configuration.

No recipe's own settings stand here. A recipe is a module with a subclass of `Recipe`, a template of the same name, a
folder in contrib/postfix and one in tests/integration/postfix; `registry.RECIPES` names it.
"""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jinja2

from gateway.config import Config
from gateway.errors import StellwerkError

ALL = "ALL"
_PART = re.compile(r"^#==== (.+) ====\n", re.MULTILINE)


class RecipeUnavailable(StellwerkError):
    """The configuration has nothing this recipe could point Postfix at. The text says what to add."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class Choice:
    """Something a recipe leaves to the administrator: `--NAME VALUE`. The first value is the default.

    `file_name` is the stem of the shipped file for a value, "{}" standing for the value. Where `is_free`, other values
    than those shipped are welcome too.
    """

    name: str
    values: tuple[str, ...]
    help: str
    file_name: str
    is_free: bool = False

    @property
    def field(self) -> str:
        """The recipe's field that holds it."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a recipe puts into Postfix's configuration, and so what the way back takes out.

    `services` are names for `postconf -MX` ("stellwerk/unix"); one for a port must be of the template _reinjection.j2.
    `main_cf` (parameter) and `service_options` ("smtp/inet/parameter") are removed only while they have the value given
    here, a basic regular expression: what an administrator has set since stays. `replaced` are parameters whose former
    value the template _replace.j2 keeps in a comment, and the value they were given. A raised message_size_limit stays,
    since `postsuper -r` takes queued mail in anew.

    `kept_by` has, for any name in the former three, basic regular expressions of lines that `postconf -P` and
    `postconf content_filter` print: while there is such a line, another recipe still needs it, and it stays.
    `requeued` is the transport whose queued mail must be taken in anew, "" for none, ALL for whatever is in the queue.
    """

    main_cf: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    service_options: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    kept_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requeued: str = ALL

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(
            {**self.main_cf, **other.main_cf},
            tuple(dict.fromkeys((*self.services, *other.services))),
            {**self.service_options, **other.service_options},
            {**self.replaced, **other.replaced},
            {
                name: tuple(dict.fromkeys((*self.kept_by.get(name, ()), *other.kept_by.get(name, ()))))
                for name in (*self.kept_by, *other.kept_by)
            },
            self.requeued if self.requeued == other.requeued else ALL,
        )


class Recipe(ABC):
    """One recipe with the values of one gateway. A subclass is a frozen dataclass; its defaults are the standard ports.

    `name` is the recipe's name on the command line and its template's; `when` says in one line when to choose it.
    """

    name: ClassVar[str]
    when: ClassVar[str]
    choices: ClassVar[tuple[Choice, ...]] = ()

    @classmethod
    @abstractmethod
    def fitting(cls, config: Config, *args: Any, **choices: Any) -> Self:
        """The recipe for this gateway's own ports. Raises RecipeUnavailable with one line that says what is missing."""

    @property
    @abstractmethod
    def footprint(self) -> Footprint:
        """What the recipe's text leaves behind in Postfix's configuration."""

    @classmethod
    def from_config(cls, config: Config, **choices: Any) -> Self:
        """As `fitting`, but RecipeUnavailable also shows what stellwerk.toml needs."""
        try:
            return cls.fitting(config, **choices)
        except RecipeUnavailable as error:
            wanted = parts(cls(**choices).render()).get("stellwerk.toml", "")
            raise RecipeUnavailable(
                f"{error}\n\nstellwerk.toml for {cls.name}:\n\n{wanted}" if wanted else str(error)
            ) from None

    @classmethod
    def shipped(cls) -> dict[str, Self]:
        """The recipe for the standard ports by the name of its file in contrib/postfix/NAME, one for each choice."""
        found = {}
        for values in itertools.product(*(choice.values for choice in cls.choices)):
            chosen = {choice.field: value for choice, value in zip(cls.choices, values, strict=True)}
            stems = [choice.file_name.format(chosen[choice.field].replace("/", "-")) for choice in cls.choices] or [
                "recipe"
            ]
            found[f"{'-'.join(dict.fromkeys(stems))}.txt"] = cls(**chosen)
        return found

    def render(self) -> str:
        """The recipe as text: parts headed by `#==== NAME ====`, in which comments stand on lines of their own.

        Parts: main.cf and master.cf to append, stellwerk.toml for the gateway, "commands" and "back" to paste into a
        root shell, "apply" and "check" to read.
        """
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("gateway.postfix_recipes"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701  configuration text, not HTML
        )
        return environment.get_template(f"{self.name}.txt.j2").render(recipe=self)


def parts(text: str) -> dict[str, str]:
    """The parts of a rendered recipe by the name in their headline, byte for byte."""
    pieces = _PART.split(text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))
