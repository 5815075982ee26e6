"""The DNS cases: where they come from, and the real DNS servers and the probe that one case plays with."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from gateway.domains.checks.result import Result
from gateway.domains.checks.texts import LANGUAGES, sentence
from gateway.domains.probing import MAX_QUERIES, Probe, Probing
from gateway.testing.clock import START
from gateway.testing.dns_behaviour import Behaviour, behaviour_of
from gateway.testing.dns_server import DnsServer, Record

Case = dict[str, Any]

VARIABLE = "STELLWERK_DNS_CASES"
DEFAULT_FILE = Path(__file__).parents[3] / "shared" / "dns" / "cases.jsonl"

CASE_FIELDS = {
    "name", "domain", "records", "check", "params", "query_behaviour", "expected_status", "expected_reply",
    "expected_reason", "expected_org", "expected_normalised", "expected_max_queries", "why",
}  # fmt: skip
SHARED_PARAMS = {"treat_as_public", "clock", "at", "soa_minimum", "max_queries"}
LOOPBACK = ip_network("127.0.0.0/8")


def load() -> list[Case]:
    """Every case of the file; none when the default file is not there. A file that was named must exist."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else DEFAULT_FILE
    if not named and not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def params_of(case: Case, known: Iterable[str]) -> Case:
    """The parameters; one that the runner does not know would leave the case run only in part."""
    params: Case = case.get("params", {})
    unknown = set(params) - set(known) - SHARED_PARAMS
    assert not unknown, f"the runner does not know the parameters {sorted(unknown)}: the case would run only in part"
    return params


@dataclass
class Scene:
    """The servers of one case, and how a check sees them. `now` is the clock of the case, in POSIX seconds."""

    probing: Probing
    servers: tuple[DnsServer, ...]
    moments: tuple[float, ...]
    only_last: bool
    now: float = START

    @property
    def queries(self) -> int:
        return sum(server.count() for server in self.servers)

    def compared(self, outcomes: list[Any]) -> list[Any]:
        """What the case speaks of: all outcomes in the order of time, or only the last."""
        return outcomes[-1:] if self.only_last else outcomes


@asynccontextmanager
async def scene(
    case: Case, more: Iterable[Record] = (), behaviour: Mapping[str, Behaviour] | None = None
) -> AsyncIterator[Scene]:
    """One server plays the resolver; where the case tells servers apart, each is a server of its own.

    `per_server` are the servers of the domain's zone, `per_resolver` resolvers: the first is ours, the second outside.
    """
    params: Case = case.get("params", {})
    records = [*(tuple(record) for record in case["records"]), *more]
    table: dict[str, Any] = {**case.get("query_behaviour", {}), **(behaviour or {})}
    async with AsyncExitStack() as stack:

        async def start(part: str, *, recursive: bool) -> DnsServer:
            server = DnsServer(
                records, behaviour_of(table, part), soa_minimum=params.get("soa_minimum", 300), recursive=recursive
            )
            return await stack.enter_async_context(server)

        resolvers = [await start(name, recursive=True) for name in table.get("per_resolver", {"resolver": {}})]
        authorities = [await start(name, recursive=False) for name in table.get("per_server", {})]
        probing = Probing(
            nameservers=(resolvers[0].address,),
            second_nameservers=tuple(server.address for server in resolvers[1:]),
            authorities={case["domain"]: [server.address for server in authorities]} if authorities else {},
            treat_as_public=(LOOPBACK, *(ip_network(each) for each in params.get("treat_as_public", ()))),
            try_seconds=0.8 if table else 6.0,
            lookup_seconds=3.0 if table else 20.0,
        )
        moments = tuple(START + float(moment) for moment in params.get("clock", (0.0,)))
        played = Scene(probing, (*resolvers, *authorities), moments, params.get("at") == "last")
        played.probing = replace(probing, clock=lambda: played.now)
        yield played
        limits = [case.get("expected_max_queries"), params.get("max_queries"), len(moments) * MAX_QUERIES]
        for limit in limits:
            assert limit is None or played.queries <= limit, [server.queries for server in played.servers]


async def run_check(
    case: Case,
    known: Iterable[str],
    check: Callable[[Case, Probe], Awaitable[Result]],
    *,
    required: bool = False,
    more: Iterable[Record] = (),
    behaviour: Mapping[str, Behaviour] | None = None,
) -> None:
    """Run `check` with the parameters of the case, of which it takes the `known` ones, at every moment of the case."""
    params = params_of(case, known)
    async with scene(case, more, behaviour) as played:
        results = []
        for moment in played.moments:
            played.now = moment
            async with played.probing.open() as probe:
                results.append(await check(params, probe))
        for result in played.compared(results):
            compare(result, case)
            assert result.required == required
            assert {sentence(result, language) for language in LANGUAGES}.isdisjoint({""})


def compare(result: Result, case: Case) -> None:
    """`result` against what the case expects. Two words of the cases are of claims, and stand for kinds of `temp`."""
    words = {"agreement": "hold", "time": "pending", "": result.status}
    assert words[result.waits_for] == case["expected_status"], result
    if "expected_reason" in case:
        assert result.reason == case["expected_reason"], result
    if result.waits_for:
        assert result.status == "temp"
