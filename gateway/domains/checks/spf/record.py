"""An SPF record read into terms (RFC 7208 4.6 and 12). Syntax only: nothing is expanded, looked up or judged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError
from typing import Literal, TypeAlias, cast

Qualifier: TypeAlias = Literal["+", "-", "~", "?"]
Name: TypeAlias = Literal["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"]
Network: TypeAlias = IPv4Network | IPv6Network

VERSION = "v=spf1"

# Far above what anybody needs (RFC 7208 3.4 advises 450 octets for all): a stranger chooses what we have to read.
MAX_RECORD = 16_384
MAX_TERM = 1024

# Terms that cause DNS queries (4.6.4); `redirect` is counted beside them.
COUNTED: frozenset[str] = frozenset({"include", "a", "mx", "ptr", "exists"})

_DIRECTIVE = re.compile(r"([+\-~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?=[:/]|\Z)(.*)\Z", re.IGNORECASE | re.DOTALL)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)\Z", re.DOTALL)
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_IP4 = re.compile(r"([0-9.]+)(?:/(0|[1-9][0-9]?))?\Z")
_IP6 = re.compile(r"([0-9A-Fa-f:.]+)(?:/(0|[1-9][0-9]{0,2}))?\Z")
_EXPAND = r"%\{[slodiphvcrtSLODIPHVCRT](?:[1-9][0-9]*|0+[1-9][0-9]*)?[rR]?[.\-+,/_=]*\}"
_MACRO_STRING = re.compile(rf"(?:{_EXPAND}|%%|%_|%-|[\x21-\x24\x26-\x7e])*\Z")
_TOP_LABEL = r"(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])"
_DOMAIN_END = re.compile(rf"(?:.*\.{_TOP_LABEL}\.?|.*{_EXPAND})\Z", re.DOTALL)
_ONLY_IN_EXP = re.compile(r"%\{[crtCRT]")


class SpfSyntaxError(ValueError):
    """The record is not SPF: `term` is the first that is wrong (RFC 7208 4.6: permerror, whatever stands before it)."""

    def __init__(self, term: str, words: str) -> None:
        super().__init__(f"'{term}': {words}")
        self.term = term
        self.words = words


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive. `domain` is the domain-spec, unexpanded, "" for the current domain; networks for ip4 and ip6."""

    qualifier: Qualifier
    name: Name
    domain: str = ""
    cidr4: int = 32
    cidr6: int = 128
    network: Network | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """`redirect` is "" without one. `unknown` are modifiers that this standard does not know: they have no effect."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""
    exp: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def effective(self) -> tuple[Mechanism, ...]:
        """The mechanisms up to the first `all`: the others are never reached (5.1)."""
        for index, mechanism in enumerate(self.mechanisms):
            if mechanism.name == "all":
                return self.mechanisms[: index + 1]
        return self.mechanisms

    @property
    def all(self) -> Mechanism | None:
        last = self.effective[-1] if self.effective else None
        return last if last is not None and last.name == "all" else None

    @property
    def effective_redirect(self) -> str:
        """The redirect, unless an `all` makes it ignored (6.1)."""
        return "" if self.all is not None else self.redirect


def is_spf(value: str) -> bool:
    """Whether a TXT value is an SPF record at all: the version, then a space or the end (4.5). Case is ignored."""
    return value.lower() == VERSION or value.lower().startswith(VERSION + " ")


def parse(value: str) -> Record:
    """Read a value for which `is_spf` holds. Raises `SpfSyntaxError`."""
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    unknown: list[str] = []
    _demand(len(value) <= MAX_RECORD, value[:40], f"the record is longer than {MAX_RECORD} characters")
    for term in terms_of(value):
        _demand(len(term) <= MAX_TERM, term[:40], f"the term is longer than {MAX_TERM} characters")
        directive = _DIRECTIVE.match(term)
        if directive is not None:
            mechanisms.append(_mechanism(term, directive))
            continue
        modifier = _MODIFIER.match(term)
        if modifier is None:
            raise SpfSyntaxError(term, "there is no such mechanism")
        name, text = modifier[1].lower(), modifier[2]
        if name not in ("redirect", "exp"):
            _demand(_MACRO_STRING.match(text) is not None, term, "a modifier's value is malformed")
            unknown.append(term)
            continue
        _demand(name not in modifiers, term, f"{name}= stands there twice")
        modifiers[name] = _domain_spec(term, text)
    return Record(tuple(mechanisms), modifiers.get("redirect", ""), modifiers.get("exp", ""), tuple(unknown))


def terms_of(value: str) -> list[str]:
    """The terms after the version, which only spaces part."""
    return [term for term in value[len(VERSION) :].split(" ") if term]


def spf_values(values: Iterable[str]) -> list[str]:
    return [value for value in values if is_spf(value)]


def _mechanism(term: str, match: re.Match[str]) -> Mechanism:
    qualifier = cast("Qualifier", match[1] or "+")
    name, rest = cast("Name", match[2].lower()), match[3]
    if name == "all":
        _demand(not rest, term, "'all' takes nothing behind it")
        return Mechanism(qualifier, name, text=term)
    if name in ("ip4", "ip6"):
        return Mechanism(qualifier, name, network=_network(term, name, rest), text=term)
    if name in ("include", "exists"):
        _demand(rest.startswith(":"), term, f"'{name}' needs a colon and a domain")
        return Mechanism(qualifier, name, _domain_spec(term, rest[1:]), text=term)
    if name == "ptr":
        _demand(not rest or rest.startswith(":"), term, "'ptr' takes a colon and a domain, or nothing")
        return Mechanism(qualifier, name, _domain_spec(term, rest[1:]) if rest else "", text=term)
    return _address_mechanism(term, qualifier, name, rest)


def _address_mechanism(term: str, qualifier: Qualifier, name: Name, rest: str) -> Mechanism:
    cidr = _DUAL_CIDR.search(rest)
    assert cidr is not None  # it matches the empty end
    domain = rest[: cidr.start()]
    if domain:
        _demand(domain.startswith(":"), term, "a colon, a domain or a prefix length is expected")
        domain = _domain_spec(term, domain[1:])
    cidr4, cidr6 = int(cidr[1] or 32), int(cidr[2] or 128)
    _demand(cidr4 <= 32 and cidr6 <= 128, term, "the prefix length is too long")
    return Mechanism(qualifier, name, domain, cidr4, cidr6, text=term)


def _network(term: str, name: str, rest: str) -> Network:
    match = (_IP4 if name == "ip4" else _IP6).match(rest[1:]) if rest.startswith(":") else None
    if match is None:
        raise SpfSyntaxError(term, f"'{name}' needs a colon and an address, with or without a prefix length")
    try:
        if name == "ip4":
            return IPv4Network((match[1], int(match[2] or 32)), strict=False)
        return IPv6Network((match[1], int(match[2] or 128)), strict=False)
    except (AddressValueError, NetmaskValueError):
        raise SpfSyntaxError(term, "that is no address, or the prefix is too long") from None


def _domain_spec(term: str, text: str) -> str:
    good = bool(text) and _MACRO_STRING.match(text) is not None and _ONLY_IN_EXP.search(text) is None
    _demand(good and _DOMAIN_END.match(text) is not None, term, "that is no domain")
    return text


def _demand(holds: bool, term: str, words: str) -> None:
    if not holds:
        raise SpfSyntaxError(term, words)
