"""What can be wrong with a configuration beyond the type of one key, and how a validator says so.

Nothing here knows the models, files or lines.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.mail.address import Address, AddressError


class Source(NamedTuple):
    """Where a configuration came from: the file's name as it was given, and its text."""

    name: str
    text: str


class Problem(NamedTuple):
    """One thing that is wrong: the key path from the validated value downwards, and what is wrong there."""

    path: tuple[str | int, ...]
    text: str


class SettingsError(ValueError):
    """Raised by a validator that finds several problems or knows the key better than pydantic can."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = tuple(problems)


def contradictions(
    plugins: Sequence[str],
    listeners: Sequence[tuple[str, str]],
    next_hops: Mapping[str, Sequence[str]],
    routing: Mapping[str, str],
) -> Iterator[Problem]:
    """What is wrong between tables that are each right by themselves.

    `listeners`: name and address of each, in order; `next_hops`: addresses by name, none for a Maildir; `routing`: the
    next hop that `hosted`, `outbound` and `own` name.
    """
    for index, name in enumerate(plugins):
        if name in plugins[:index]:
            yield Problem(("plugins", index), f'"{name}" stands in the chain twice; name it once')
    names = [name for name, _ in listeners]
    addresses = [address for _, address in listeners]
    for index, (name, address) in enumerate(listeners):
        if name and name in names[:index]:
            yield Problem(("listener", index, "name"), f'two listeners are called "{name}"; give each its own name')
        if address and address in addresses[:index] and not address.endswith(":0"):
            yield Problem(
                ("listener", index, "address"), f"two listeners have the address {address}; give each its own"
            )
    for name, hop_addresses in next_hops.items():
        for index, address in enumerate(hop_addresses):
            if address in addresses and not address.endswith(":0"):
                listener = names[addresses.index(address)]
                key = ("fallback_addresses", index - 1) if index else ("address",)
                yield Problem(
                    ("next_hop", name, *key),
                    f'this is our own listener "{listener}" ({address}): mail would go round for ever',
                )
    known = ", ".join(f'"{name}"' for name in sorted(next_hops)) or "none"
    for role, name in routing.items():
        if name and name not in next_hops:
            yield Problem(("routing", role), f'"{name}" is no next hop; there are: {known}')


def check_networks(networks: list[str]) -> list[str]:
    """`networks` as they are. Raises `SettingsError` for every text that is no network."""
    problems: list[Problem] = []
    for index, network in enumerate(networks):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            problems.append(Problem((index,), f'found {network!r}; expected a network, for example "127.0.0.1/32"'))
    if problems:
        raise SettingsError(problems)
    return networks


def check_dns_servers(servers: list[str]) -> list[str]:
    """`servers` as they are. Raises `SettingsError` for every text that is no IP address with or without a port."""
    problems: list[Problem] = []
    for index, server in enumerate(servers):
        host, port = server, "53"
        if server.startswith("[") and "]" in server:
            host, _, rest = server[1:].partition("]")
            port = rest.removeprefix(":") if rest else port
        elif server.count(":") == 1:
            host, _, port = server.partition(":")
        try:
            ipaddress.ip_address(host)
            good = port.isascii() and port.isdecimal() and 0 < int(port) < 65_536
        except ValueError:
            good = False
        if not good:
            expected = 'an IP address with or without a port, for example "127.0.0.1:53"'
            problems.append(Problem((index,), f"found {server!r}; expected {expected}"))
    if problems:
        raise SettingsError(problems)
    return servers


def check_local_parts(mailboxes: list[str]) -> list[str]:
    """`mailboxes` as they are. Raises `SettingsError` for all that are neither `*` nor the part before the @."""
    problems: list[Problem] = []
    for index, mailbox in enumerate(mailboxes):
        example = mailbox.rpartition("@")[0] or "anna"
        try:
            if mailbox == "*" or Address.parse(f"{mailbox}@example.test").local == mailbox:
                continue
            reason = ""
        except AddressError as error:
            reason = "" if "@" in mailbox else f": {error}"
        text = f'found "{mailbox}"; expected the part before the @ ("{example}"){reason}'
        problems.append(Problem((index,), text))
    if problems:
        raise SettingsError(problems)
    return mailboxes


def check_quoted_domains(hosted: object) -> object:
    """`hosted` as it is. Raises `SettingsError` for [hosted.example.test], which TOML takes for a table in a table."""
    problems = [
        Problem(path, f'quote the domain: [hosted."{".".join(path)}"]') for path in _leaves(hosted) if len(path) > 1
    ]
    if problems:
        raise SettingsError(problems)
    return hosted


def _leaves(table: object, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the innermost tables."""
    if not isinstance(table, dict):
        return
    below = {name: entry for name, entry in table.items() if isinstance(entry, dict)}
    if not below or len(below) < len(table):
        yield above
    for name, entry in below.items():
        yield from _leaves(entry, (*above, name))
