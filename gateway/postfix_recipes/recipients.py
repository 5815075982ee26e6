"""The recipe `recipients`: Postfix refuses whom Stellwerk's directory does not know, while the client waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from gateway.config import Config
from gateway.postfix_maps.answers import MapName
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe, RecipeUnavailable

STANDARD_SOCKETMAP = "127.0.0.1:10030"
MAPS_DIRECTORY = "$config_directory/stellwerk"

AddressClass = Literal["virtual", "relay"]
Source = Literal["live", "files"]

_SETTINGS: dict[AddressClass, dict[str, MapName]] = {
    "virtual": {"virtual_mailbox_domains": "domains", "virtual_mailbox_maps": "recipients"},
    "relay": {"relay_domains": "domains", "relay_recipient_maps": "recipients"},
}


@dataclass(frozen=True, slots=True)
class Recipients(Recipe):
    """What the recipe depends on: `socketmap` is where Postfix asks, `host:port` on loopback.

    `address_class` says by which of Postfix's transports the mail goes on, `maps` whether Postfix asks or reads files.
    """

    name = "recipients"
    when = "beside any other: Postfix refuses unknown recipients itself, by Stellwerk's directory"
    choices = (
        Choice("address-class", ("virtual", "relay"), "What Postfix takes the domains for: by whose transport their "
               "mail goes on.", "{}"),
        Choice("maps", ("live", "files"), "Whether Postfix asks the running gateway, or reads what "
               "`stellwerk postfix maps` has written.", "{}"),
    )  # fmt: skip

    socketmap: str = STANDARD_SOCKETMAP
    address_class: AddressClass = "virtual"
    maps: Source = "live"

    def __post_init__(self) -> None:
        if self.maps == "live":
            fitting.require_loopback_port(self.socketmap, "[socketmap]")

    @classmethod
    def fitting(cls, config: Config, address_class: AddressClass = "virtual", maps: Source = "live") -> Self:
        address = config.socketmap.address
        if maps == "live" and not address:
            raise RecipeUnavailable(
                "Postfix has nothing to ask: [socketmap] has no address; set "
                f'address = "{STANDARD_SOCKETMAP}", or let it read files: --maps files'
            )
        return cls(address or STANDARD_SOCKETMAP, address_class, maps)

    @property
    def settings(self) -> dict[str, str]:
        """What is added to which setting of main.cf."""
        return {name: self.table(asked) for name, asked in _SETTINGS[self.address_class].items()}

    def table(self, asked: MapName) -> str:
        """One of the maps as Postfix names it."""
        if self.maps == "live":
            return f"socketmap:inet:{self.socketmap}:{asked}"
        return f"texthash:{MAPS_DIRECTORY}/{asked}"

    @property
    def footprint(self) -> Footprint:
        """Whatever the choices were: the way back looks for each."""
        return Footprint(
            replaced={
                name: rf".*\(socketmap:inet:.*:\|texthash:.*/stellwerk/\){asked}"
                for settings in _SETTINGS.values()
                for name, asked in settings.items()
            }
        )
