"""What a test DNS server does instead of answering: the little language of `behaviour`, parsed and counted off.

    OK             an ordinary answer
    SERVFAIL ...   any response code by name (REFUSED, FORMERR, NXDOMAIN with SOA, ...)
    NODATA         no records, with SOA
    TIMEOUT        no answer at all
    DROP:n         no answer to the first n queries, then OK
    DELAY:seconds  OK, but later
    TRUNCATE       TC over UDP, OK over TCP
    BOGUS          SERVFAIL with the extended error "DNSSEC bogus", as from a validating resolver
    AD             OK with the AD bit, as from a validating resolver
    LAME           a referral to other servers
    GARBAGE        octets that are no DNS message
    FORGERY        NXDOMAIN under another message id, as from a stranger who guesses
    [a, b, c]      the first query gets a, the second b, all others the last

A key of the table is "name/TYPE", "name/*", "*/TYPE" or "*/*"; the first that fits, in this order, decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import dns.rcode

Behaviour: TypeAlias = str | Sequence[str]

Kind: TypeAlias = Literal[
    "ok", "silence", "truncate", "authenticated", "lame", "garbage", "forgery", "nodata", "rcode", "bogus"
]

_WORDS: dict[str, Kind] = {
    "OK": "ok",
    "TIMEOUT": "silence",
    "TRUNCATE": "truncate",
    "AD": "authenticated",
    "LAME": "lame",
    "GARBAGE": "garbage",
    "FORGERY": "forgery",
    "BOGUS": "bogus",
    "NODATA": "nodata",
}


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to one query."""

    kind: Kind
    delay_seconds: float = 0.0
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR


OK = Action("ok")


class BehaviourTable:
    """Keeps count of the queries per key, so that DROP and sequences know where they are."""

    def __init__(self, behaviour: Mapping[str, Behaviour]) -> None:
        self._actions = {_key(key): _actions(key, value) for key, value in behaviour.items()}
        self._asked: Counter[str] = Counter()

    def next(self, name: str, rdtype: str) -> Action:
        """The action for the next query of (`name`, `rdtype`)."""
        for key in (f"{name}/{rdtype}", f"{name}/*", f"*/{rdtype}", "*/*"):
            actions = self._actions.get(key)
            if actions is not None:
                self._asked[key] += 1
                return actions[min(self._asked[key], len(actions)) - 1]
        return OK


def behaviour_of(table: Mapping[str, object], server: str) -> dict[str, Behaviour]:
    """The behaviour of one of several servers, from a table with a part `per_server` or `per_resolver`.

    `{"per_server": {"ns1": {}, "ns2": {"a.test/TXT": "NXDOMAIN"}}}`: one `DnsServer` for each name. Entries beside that
    part are for all servers.
    """
    chosen: dict[str, Behaviour] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            chosen.update(value.get(server, {}))
        elif isinstance(value, str | list | tuple):
            chosen[key] = value
        else:
            raise ValueError(f"behaviour of '{key}' is {value!r}; expected a word or a list of words")
    return chosen


def _key(key: str) -> str:
    name, slash, rdtype = key.rpartition("/")
    if not slash or not name or not rdtype:
        raise ValueError(f"behaviour key '{key}' is not name/TYPE")
    return f"{name.lower().removesuffix('.')}/{rdtype.upper()}"


def _actions(key: str, value: Behaviour) -> tuple[Action, ...]:
    words = [value] if isinstance(value, str) else list(value)
    if not words:
        raise ValueError(f"behaviour of '{key}' is an empty list")
    return tuple(action for word in words for action in _parse(key, word))


def _parse(key: str, word: str) -> list[Action]:
    verb, _, argument = word.partition(":")
    try:
        if verb == "DROP":
            return [Action("silence")] * int(argument) + [OK]
        if verb == "DELAY":
            return [Action("ok", delay_seconds=float(argument))]
        if verb in _WORDS and not argument:
            return [Action(_WORDS[verb])]
        return [Action("rcode", rcode=dns.rcode.from_text(word))]
    except (ValueError, dns.rcode.UnknownRcode):
        raise ValueError(f"behaviour of '{key}' is '{word}'; see gateway.testing.dns_behaviour for the words") from None
