"""What a validating resolver says of a domain: proven, unsigned, or wrong. Wrong is never a failure of ownership."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domains.checks.dnssec import check_dnssec
from gateway.domains.checks.domain import Expected, check_required
from gateway.domains.checks.mx import check_mx
from gateway.domains.checks.ownership import Claim, check_ownership
from gateway.domains.probing import Probing
from tests.integration.unbound.instance import SignedZone, sign, unbound

pytestmark = pytest.mark.server("unbound")

CLAIM = Claim("k7x2q5c3v6b4n7m2j5h3g6f4d7s2a5p3", "mx1.gateway.test", "_stellwerk-challenge", first_proof=True)
MX_HOSTS = ("mx1.gateway.test",)
KEY = f'_stellwerk-challenge TXT "{CLAIM.record}"\n'
RECORDS = f"@ MX 10 mx1.gateway.test.\n{KEY}"


def spoilt(zone: SignedZone) -> SignedZone:
    """Somebody has changed the records on the way and could not sign them."""
    changed = zone.text.replace("10 mx1.gateway.test.", "10 mx1.evil.test.").replace(CLAIM.token, "z" * 32)
    assert changed != zone.text
    return SignedZone(changed, zone.anchor)


@pytest.fixture
async def resolver(tmp_path: Path) -> AsyncIterator[Probing]:
    zones = {
        "signed.test": sign("signed.test", RECORDS),
        "empty.test": sign("empty.test", "www A 192.0.2.1\n"),
        "spoilt.test": spoilt(sign("spoilt.test", RECORDS)),
        "expired.test": sign("expired.test", RECORDS, ago=timedelta(days=5)),
        "unsigned.test": SignedZone(sign("unsigned.test", RECORDS).text, ""),
    }
    async with unbound(tmp_path, zones) as address:
        yield Probing(nameservers=(address,), try_seconds=10.0, lookup_seconds=30.0)


async def test_a_signed_zone_proves_the_key_at_first_sight(resolver: Probing) -> None:
    async with resolver.open() as probe:
        ownership = await check_ownership("signed.test", CLAIM, probe)
        mx = await check_mx("signed.test", MX_HOSTS, (), probe)
        dnssec = await check_dnssec("signed.test", probe)
    assert (ownership.status, ownership.facts["secure"]) == ("pass", "yes")
    assert ownership.observations[0].ad
    assert (mx.status, dnssec.status) == ("pass", "pass")


async def test_an_unsigned_zone_is_seen_twice(resolver: Probing) -> None:
    async with resolver.open() as probe:
        ownership = await check_ownership("unsigned.test", CLAIM, probe)
        dnssec = await check_dnssec("unsigned.test", probe)
    assert (ownership.status, ownership.reason) == ("temp", "second_observation")
    assert not ownership.observations[0].ad
    assert (dnssec.status, dnssec.reason) == ("warn", "dnssec_unsigned")


async def test_that_there_is_no_key_is_proven_as_well(resolver: Probing) -> None:
    async with resolver.open() as probe:
        ownership = await check_ownership("empty.test", CLAIM, probe)
    assert (ownership.status, ownership.reason) == ("fail", "token_missing")
    assert ownership.observations[0].ad


@pytest.mark.parametrize("domain", ["spoilt.test", "expired.test"])
async def test_wrong_signatures_are_no_answer(resolver: Probing, domain: str) -> None:
    results = await check_required(domain, Expected(CLAIM, MX_HOSTS), resolver)
    assert [(result.check, result.status, result.reason) for result in results] == [
        ("ownership", "temp", "dns_bogus"),
        ("mx", "temp", "dns_bogus"),
    ]
    seen = results[0].observations[0]
    assert seen.rcode == "SERVFAIL"
    assert seen.ede
    assert set(seen.ede) <= set(range(6, 13))  # RFC 8914: what DNSSEC has against it
    async with resolver.open() as probe:
        dnssec = await check_dnssec(domain, probe)
    # Of the spoilt zone the SOA was left as it was signed.
    assert dnssec.reason == ("dnssec_bogus" if domain == "expired.test" else "ok")
