"""How one check asks its questions: every answer is written down as it comes. What it means, the check itself says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from gateway.dns.answers import Answer, Found, NotFound, Unknown, cut
from gateway.domains.checks.hostile import MAX_CHARACTERS, as_text, joined, shown, texts_of
from gateway.domains.checks.reasons import Reason, reason_of
from gateway.domains.checks.result import Observation, Result, Status
from gateway.domains.probing import Probe

MAX_OBSERVATIONS = 20
MAX_TO_TYPE = 4096
MAX_OWN_HOSTS = 4

_TO_TYPE = frozenset({"record", "split", "merged"})  # what somebody is to enter must never be cut


@dataclass(frozen=True, slots=True)
class Views:
    """One question as all sides answer it. `authorities` holds only the servers that gave a definite answer."""

    resolver: Answer
    second: Answer | None
    authorities: tuple[Found | NotFound, ...]

    @property
    def all(self) -> tuple[Answer, ...]:
        second = () if self.second is None else (self.second,)
        return (self.resolver, *second, *self.authorities)


class Look:
    """One check under way."""

    def __init__(self, check: str, probe: Probe, *, required: bool = False) -> None:
        self.check = check
        self.probe = probe
        self.required = required
        self.observations: list[Observation] = []
        self._budget = probe.required if required else probe.advice

    async def ask(self, name: str, rdtype: str) -> Answer:
        """What the resolver says. A name that cannot exist (too long, not ASCII) is a definite no."""
        try:
            answer = await self.probe.resolver.lookup(name, rdtype, budget=self._budget)
        except ValueError:
            answer = NotFound(cut(name), rdtype, "nxdomain", 0, cut(name))
        self.note(answer)
        return answer

    async def ask_all(self, domain: str, name: str, rdtype: str) -> Views:
        """What the resolver, the second resolver and the servers of `domain`'s zone say about `name`."""
        probe = self.probe
        zone, resolver = await asyncio.gather(probe.zone(domain), self.ask(name, rdtype))
        second = None
        if probe.second is not None:
            second = await probe.second.lookup(name, rdtype, budget=self._budget)
            self.note(second)
        asked = [probe.ask_authority(server, name, rdtype, self._budget) for server in zone.servers]
        definite: list[Found | NotFound] = []
        for answer in await asyncio.gather(*asked):
            self.note(answer, authoritative=True)
            if not isinstance(answer, Unknown):
                definite.append(answer)
        return Views(resolver, second, tuple(definite))

    def note(self, answer: Answer, *, authoritative: bool = False) -> None:
        """Write an answer down."""
        at = self.probe.probing.clock()
        if isinstance(answer, Found):
            seen = Observation(
                at, answer.server, shown(answer.name), answer.rdtype, "NOERROR", answer.ede, answer.authenticated,
                answer.ttl, texts_of(answer.records), authoritative=authoritative,
            )  # fmt: skip
        elif isinstance(answer, NotFound):
            rcode = "NXDOMAIN" if answer.reason == "nxdomain" else "NOERROR"
            seen = Observation(
                at, answer.server, shown(answer.name), answer.rdtype, rcode, answer.ede, answer.authenticated,
                answer.ttl, authoritative=authoritative,
            )  # fmt: skip
        else:
            seen = Observation(
                at, answer.server, shown(answer.name), answer.rdtype, answer.rcode, answer.ede,
                trouble=answer.reason.value, authoritative=authoritative,
            )  # fmt: skip
        self.observations.append(seen)

    def result(self, status: Status, reason: Reason = "ok", **facts: str) -> Result:
        """The check's end, with all that was seen. Values of `facts` may be hostile: they are cleaned here."""
        clean = {key: shown(value, MAX_TO_TYPE if key in _TO_TYPE else MAX_CHARACTERS) for key, value in facts.items()}
        return Result(self.check, status, reason, self.required, tuple(self.observations[:MAX_OBSERVATIONS]), clean)

    def unknown(self, answer: Unknown, **facts: str) -> Result:
        """Nothing was learnt: `temp`, never anything else."""
        facts = {"name": answer.name, "type": answer.rdtype, "detail": answer.detail or answer.reason.value, **facts}
        return self.result("temp", reason_of(answer.reason), **facts)


async def own_addresses(hosts: Sequence[str], look: Look) -> frozenset[str]:
    """The addresses of the gateway's own hosts, where no setting names them."""
    asked = [look.ask(host, rdtype) for host in hosts[:MAX_OWN_HOSTS] for rdtype in ("A", "AAAA")]
    return frozenset(address for answer in await asyncio.gather(*asked) for address in addresses_in(answer))


def addresses_in(answer: Answer) -> list[str]:
    """The addresses of an answer to A or AAAA."""
    records = answer.records if isinstance(answer, Found) else ()
    return [str(ip_address(str(record.address))) for record in records if isinstance(record, A | AAAA)]


def txt_values(answer: Answer) -> list[str]:
    """The TXT records of an answer, sorted, each joined, octets outside UTF-8 as \\xNN."""
    return sorted(as_text(joined(record)) for record in answer.of(TXT)) if isinstance(answer, Found) else []


def quoted(values: Sequence[str]) -> str:
    """For sentences: 'a', 'b'."""
    return ", ".join(f"'{value}'" for value in values[:4]) + (", ..." if len(values) > 4 else "")
