"""A checker that asks one resolver for ownership and MX and nothing else: enough to see what answers lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from gateway.dns.answers import Answer, Found, NotFound, Unknown, name_text
from gateway.dns.resolver import Resolver
from gateway.domains.checker import Answered, Asked, IssuedToken
from gateway.domains.facts import Seen as Outcome
from gateway.domains.token import challenge_name, challenge_text


class SmallChecker:
    """`asked` keeps every question it was given."""

    def __init__(self, nameserver: str, clock: Callable[[], float]) -> None:
        self.resolver = Resolver([nameserver], clock=clock, try_seconds=6.0, lookup_seconds=7.0)
        self.clock = clock
        self.asked: list[Asked] = []

    async def __call__(self, asked: Asked, /) -> Answered:
        self.asked.append(asked)
        seen: list[dict[str, Any]] = []
        ownership, token, sure = (
            await self._ownership(asked, seen) if "ownership" in asked.kinds else (None, None, False)
        )
        routing = await self._routing(asked, seen) if "mx" in asked.kinds else None
        return Answered(ownership, routing, token, sure, seen=tuple(seen))

    async def _ownership(self, asked: Asked, seen: list[dict[str, Any]]) -> tuple[Outcome, IssuedToken | None, bool]:
        answer = await self._look(challenge_name(asked.domain, asked.label, asked.scope), "TXT", seen)
        if not isinstance(answer, Found):
            return await self._absent(asked, answer, seen), None, False
        texts = {b"".join(record.strings).decode("ascii", "replace") for record in answer.of(TXT)}
        for token in asked.tokens:
            if challenge_text(token.token, asked.gateway) in texts:
                return "pass", token, answer.authenticated
        return "fail", None, False

    async def _absent(self, asked: Asked, answer: Answer, seen: list[dict[str, Any]]) -> Outcome:
        if isinstance(answer, Unknown):
            return "temp"
        whole = await self._look(asked.domain, "SOA", seen)
        if isinstance(whole, Unknown):
            return "temp"
        return "nxdomain" if isinstance(whole, NotFound) and whole.reason == "nxdomain" else "fail"

    async def _routing(self, asked: Asked, seen: list[dict[str, Any]]) -> Outcome:
        answer = await self._look(asked.domain, "MX", seen)
        if isinstance(answer, Unknown):
            return "temp"
        if isinstance(answer, NotFound):
            return "nxdomain" if answer.reason == "nxdomain" else "fail"
        hosts = {name_text(record.exchange) for record in answer.of(MX)}
        if hosts == {""}:
            return "null_mx"
        return "pass" if hosts & set(asked.mx_hosts) else "fail"

    async def _look(self, name: str, rdtype: str, seen: list[dict[str, Any]]) -> Answer:
        answer = await self.resolver.lookup(name, rdtype)
        texts: tuple[str, ...] = ()
        rcode, ttl, ad = "SERVFAIL", None, False
        if isinstance(answer, Found):
            texts, rcode, ttl, ad = tuple(each.to_text() for each in answer.records), "NOERROR", answer.ttl, False
            ad = answer.authenticated
        elif isinstance(answer, NotFound):
            rcode = "NXDOMAIN" if answer.reason == "nxdomain" else "NOERROR"
        asked = {"at": self.clock(), "server": "resolver", "name": name, "type": rdtype}
        seen.append({**asked, "rcode": rcode, "ede": (), "ad": ad, "ttl": ttl, "texts": texts})
        return answer
