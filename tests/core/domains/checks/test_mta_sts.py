"""MTA-STS: the policy file, and the request that fetches it from a host of somebody else's choice."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domains.checks.mta_sts import PATH, PolicyError, StsFetching, check_mta_sts, read_policy
from gateway.domains.checks.policy_fetch import MAX_OCTETS, Fetched, fetch
from gateway.domains.checks.result import Result
from gateway.testing.dns_server import DnsServer, Record
from tests.certificates import Authority
from tests.core.domains.checks.healthy import DOMAIN, MX_RECORDS, POLICY, probing
from tests.dns.policy_server import policy_server

HOST = f"mta-sts.{DOMAIN}"
RECORD: Record = (f"_mta-sts.{DOMAIN}", "TXT", '"v=STSv1; id=1"', 300)
ADDRESS: Record = (HOST, "A", "127.0.0.1", 300)
GOOD = "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 86400\n"


async def get(status: int = 200, policy: str = POLICY, *, name: str = HOST, more: str = "") -> Fetched:
    authority = Authority()
    async with policy_server(authority, name, status, policy, more=more) as port:
        return await fetch(HOST, "127.0.0.1", PATH, authority.client(), port=port)


async def test_a_policy_is_fetched_from_the_address_that_was_given() -> None:
    fetched = await get(more="Content-Type: text/plain; charset=us-ascii\r\n")
    assert (fetched.status, fetched.body, fetched.media_type) == (200, POLICY.encode(), "text/plain")


async def test_pieces_are_put_together() -> None:
    chunked = f"{len(POLICY):x}\r\n{POLICY}\r\n0\r\n\r\n"
    assert (await get(policy=chunked, more="Transfer-Encoding: chunked\r\n")).body == POLICY.encode()


async def test_a_redirect_is_reported_and_not_followed() -> None:
    assert (await get(301)).status == 301


@pytest.mark.parametrize(("octets", "trouble"), [(MAX_OCTETS, ""), (MAX_OCTETS + 1, "too_long"), (10**6, "too_long")])
async def test_an_endless_answer_is_left(octets: int, trouble: str) -> None:
    assert (await get(policy="x" * octets)).trouble == trouble


async def test_a_certificate_for_another_name_is_no_certificate() -> None:
    assert (await get(name="elsewhere.test")).trouble == "certificate"


async def test_only_addresses_are_connected_to() -> None:
    with pytest.raises(ValueError, match="localhost"):
        await fetch(HOST, "localhost", PATH, Authority().client())


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetched = await fetch(HOST, "127.0.0.1", PATH, Authority().client(), port=port, seconds=0.1)
    assert fetched.trouble == "timeout"
    server.close()
    await server.wait_closed()
    assert (await fetch(HOST, "127.0.0.1", PATH, Authority().client(), port=port)).trouble == "unreachable"


async def check(
    records: list[Record], status: int = 200, policy: str = POLICY, *, name: str = HOST, private: bool = False
) -> Result:
    authority = Authority()
    async with (
        policy_server(authority, name, status, policy) as port,
        DnsServer([*records, *MX_RECORDS]) as server,
        (probing(server, treat_as_public=()) if private else probing(server)).open() as probe,
    ):
        return await check_mta_sts(DOMAIN, probe, fetching=StsFetching(port, authority.client()))


@pytest.mark.parametrize(
    ("status", "policy", "expected"),
    [
        (200, POLICY, ("pass", "ok")),
        (200, POLICY.replace("enforce", "none"), ("warn", "sts_none")),
        (200, POLICY.replace("*.gateway", "*.other").replace("enforce", "testing"), ("warn", "sts_mx_mismatch")),
        (200, POLICY.replace("*.gateway.test", "*.test"), ("fail", "sts_mx_mismatch")),  # one label only
        (200, "<html>", ("fail", "sts_policy_syntax")),
        (503, "", ("temp", "sts_fetch_temporary")),
        (403, "", ("fail", "sts_fetch")),
    ],
)
async def test_outcomes(status: int, policy: str, expected: tuple[str, str]) -> None:
    result = await check([RECORD, ADDRESS], status, policy)
    assert (result.status, result.reason) == expected


async def test_a_host_on_a_private_address_is_not_visited() -> None:
    result = await check([RECORD, ADDRESS], private=True)
    assert (result.status, result.reason) == ("fail", "sts_fetch")


async def test_a_bad_certificate_fails() -> None:
    assert (await check([RECORD, ADDRESS], name="elsewhere.test")).reason == "sts_certificate"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["v=STSv1; id=1", "v=STSv1; id=2"], "sts_multiple"),
        (["v=stsv1; id=1"], "sts_syntax"),
        (["v=STSv1; id=" + "1" * 33], "sts_syntax"),
        (["v=STSv1; id=1; id=2"], "sts_syntax"),
        (["v=STSv1;id=1;future=x", "unrelated"], "ok"),
        (["unrelated"], "sts_missing"),
    ],
)
async def test_records(texts: list[str], reason: str) -> None:
    records: list[Record] = [(f"_mta-sts.{DOMAIN}", "TXT", f'"{text}"', 300) for text in texts]
    assert (await check([*records, ADDRESS])).reason == reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("version: STSv1\n", ""), "version"),
        (GOOD.replace("enforce", "maybe"), "mode"),
        (GOOD.replace("86400", "-1"), "max_age"),
        (GOOD.replace("86400", "99999999"), "max_age"),
        (GOOD.replace("mx: a.test\n", ""), "mx"),
        (GOOD.replace("a.test", "https://a.test/"), "names no host"),
        (GOOD + "what\n", "no colon"),
    ],
)
def test_mistakes_in_a_policy_are_named(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        read_policy(text)


def test_a_policy_is_read() -> None:
    policy = read_policy(GOOD.replace("\n", "\r\n") + "future: x\r\nmx: *.B.test\r\n")
    assert (policy.mode, policy.max_age, policy.mx) == ("enforce", 86400, ("a.test", "*.B.test"))
    assert policy.covers("A.test")
    assert policy.covers("x.b.test")
    assert not policy.covers("x.y.b.test")
    assert not policy.covers("b.test")
