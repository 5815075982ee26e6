"""Addresses that the configuration names, each with its line: the core's own settings and what plugins declare.

Whose they are, and whether they may still be named, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.config.locate import KeyPath, key_lines, nearest_line
from gateway.config.models import Config
from gateway.hooks.loader import LoadedPlugin
from gateway.mail.address import Address


@dataclass(frozen=True, slots=True)
class Setting:
    """An address in the configuration. `line` is None where the file's text is not known."""

    address: Address
    key: str
    """The table or setting that a person looks for: `plugin.forwarding`."""
    what: str
    """What it is there, as the address is put behind it: `rule "sales" sends mail to`."""
    file: str = ""
    line: int | None = None


def addresses_in(config: Config, plugins: Iterable[LoadedPlugin]) -> list[Setting]:
    """Every one of them, in the order of the chain; the core's first."""
    lines = key_lines(config.source.text) if config.source else {}
    file = config.source.name if config.source else ""
    return [
        Setting(address, key, what, file, nearest_line(lines, path))
        for address, key, path, what in (*_of_the_core(config), *_of_plugins(plugins))
    ]


_Named = tuple[Address, str, KeyPath, str]


def _of_the_core(config: Config) -> Iterator[_Named]:
    if config.client_setup.sender:
        key = "client_setup.sender"
        yield Address.parse(config.client_setup.sender), key, ("client_setup", "sender"), "credentials are sent from"


def _of_plugins(plugins: Iterable[LoadedPlugin]) -> Iterator[_Named]:
    for plugin in plugins:
        for named in plugin.declared.addresses:
            yield named.address, f"plugin.{plugin.name}", ("plugin", plugin.name, *named.path), named.what
