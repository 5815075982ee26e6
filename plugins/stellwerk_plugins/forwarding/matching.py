"""Turns a condition into a function of a message and a recipient. It sees header and envelope, never the content.

The function says whether the condition holds, or None where that is not known: of a very long header not all is looked
at, and what was not may change the answer. What is made of unknowns is known only where they do not matter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.api import Address, Message
from stellwerk_plugins.forwarding.comparing import comparison
from stellwerk_plugins.forwarding.conditions import (
    AllOf,
    AnyOf,
    ClientCondition,
    Condition,
    HeaderCondition,
    Not,
    RecipientCondition,
    SenderCondition,
    SizeCondition,
    SubjectCondition,
    TagCondition,
    TextCondition,
)
from stellwerk_plugins.forwarding.texts import NULL_SENDER, compiled, compiled_glob, split_glob


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions may ask about: one recipient of one message.

    `known` keeps what was found out about the header, which is the same for all recipients of the message.
    """

    message: Message
    recipient: Address
    known: dict[object, bool | None] = field(default_factory=dict)


Holds = Callable[[Facts], bool | None]


def holds(condition: Condition) -> Holds:
    """The function that says whether `condition` holds."""
    match condition:
        case AllOf():
            parts = [holds(each) for each in condition.conditions]
            return lambda facts: _opposite(_any_holds(_opposite(part(facts)) for part in parts))
        case AnyOf():
            parts = [holds(each) for each in condition.conditions]
            return lambda facts: _any_holds(part(facts) for part in parts)
        case Not():
            inner = holds(condition.condition)
            return lambda facts: _opposite(inner(facts))
        case RecipientCondition():
            fits_recipient = _address(condition)
            return lambda facts: fits_recipient(facts.recipient)
        case SenderCondition():
            return _sender(condition)
        case HeaderCondition():
            return _once_a_message(_header(condition.name, condition))
        case SubjectCondition():
            return _once_a_message(_header("subject", condition))
        case SizeCondition():
            return _size(condition)
        case ClientCondition():
            return _client(condition)
        case TagCondition():
            return _tag(condition)


def _any_holds(answers: Iterable[bool | None]) -> bool | None:
    is_known = True
    for answer in answers:
        if answer:
            return True
        is_known &= answer is not None
    return False if is_known else None


def _opposite(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _once_a_message(function: Holds) -> Holds:
    """A header may be a megabyte long and a message have a thousand recipients."""

    def kept(facts: Facts) -> bool | None:
        if function not in facts.known:
            facts.known[function] = function(facts)
        return facts.known[function]

    return kept


def _address(condition: RecipientCondition | SenderCondition) -> Callable[[Address], bool]:
    equals = frozenset(condition.equals)
    globs = [tuple(compiled_glob(part) for part in split_glob(glob)) for glob in condition.glob]
    patterns = [compiled(pattern) for pattern in condition.pattern]

    def fits(local: str, domain: str) -> bool:
        key = f"{local}@{domain}"
        return (
            key in equals
            or any(of_local.search(local) and of_domain.search(domain) for of_local, of_domain in globs)
            or any(pattern.search(key) for pattern in patterns)
        )

    def fits_either_form(address: Address) -> bool:
        local = address.local.lower()
        base, plus, _ = local.partition("+")
        return fits(local, address.domain) or (bool(plus and base) and fits(base, address.domain))

    return fits_either_form


def _sender(condition: SenderCondition) -> Holds:
    fits = _address(condition)
    fits_null = NULL_SENDER in condition.equals

    def function(facts: Facts) -> bool:
        sender = facts.message.envelope.sender
        return fits_null if sender is None else fits(sender)

    return function


def _header(name: str, condition: TextCondition) -> Holds:
    fits = comparison(condition)
    return lambda facts: _any_holds(map(fits, facts.message.headers.pieces(name)))


def _size(condition: SizeCondition) -> Holds:
    least = condition.at_least_bytes or 0
    most = condition.at_most_bytes
    return lambda facts: least <= len(facts.message.body) and (most is None or len(facts.message.body) <= most)


def _client(condition: ClientCondition) -> Holds:
    networks = [ipaddress.ip_network(network) for network in condition.network]

    def function(facts: Facts) -> bool:
        try:
            address = ipaddress.ip_address(facts.message.session.client.address)
        except ValueError:  # a UNIX socket, or a client that the trusted peer does not know
            return False
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in networks)

    return function


def _tag(condition: TagCondition) -> Holds:
    def function(facts: Facts) -> bool:
        found = facts.message.tags.get(condition.name)
        if condition.value is None:
            return found is not None and found is not False
        return found == condition.value and type(found) is type(condition.value)

    return function
