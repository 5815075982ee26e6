"""What `stellwerk domain records` prints is taken by a real server, as a zone file and as a script for updates."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domains.records import Offer, Service, as_nsupdate, as_zone, rdata, wanted
from tests.integration.knot.instance import GATEWAY, ZONE, Knot, knot

pytestmark = [pytest.mark.server("knot"), pytest.mark.server("knsupdate")]

LONG_SPF = "v=spf1 " + " ".join(f"ip4:198.51.100.{number}" for number in range(20)) + " -all"
OFFER = Offer(
    domain=ZONE,
    label="mailgw",
    scope="exact",
    token="k7x2q5c3v6b4n7m2j5h3g6f4d7s2a5p3",
    gateway=f"mx1.{GATEWAY}",
    mx_hosts=(f"mx1.{GATEWAY}", f"mx2.{GATEWAY}"),
    existing_spf=LONG_SPF,
    reports_to=f"dmarc@{ZONE}",
    services=(Service("imaps", f"imap.{GATEWAY}", 993),),
)


async def served(server: Knot) -> dict[tuple[str, str], list[str]]:
    names = {(record.name, record.type) for record in wanted(OFFER)}
    return {(name, rdtype): await server.texts(name, rdtype) for name, rdtype in names}


def expected() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for record in wanted(OFFER):
        found.setdefault((record.name, record.type), []).append(rdata(record))
    return {key: sorted(values) for key, values in found.items()}


async def test_the_zone_file_is_loaded(tmp_path: Path) -> None:
    async with knot(tmp_path, {ZONE: as_zone(wanted(OFFER))}) as server:
        assert await served(server) == expected()


async def test_the_script_is_carried_out_and_keeps_what_else_is_there(tmp_path: Path) -> None:
    halves = f'"{LONG_SPF[:255]}" "{LONG_SPF[255:]}"'
    async with knot(tmp_path, {ZONE: f'@ TXT {halves}\n@ TXT "another=1"\n'}) as server:
        assert await server.script(as_nsupdate(wanted(OFFER), ZONE)) == (0, "")
        apex = expected()[ZONE, "TXT"]
        assert await server.texts(ZONE, "TXT") == sorted(['"another=1"', *apex])
        assert {**await served(server), (ZONE, "TXT"): apex} == expected()


async def test_a_key_that_may_not_is_refused_by_the_server(tmp_path: Path) -> None:
    async with knot(tmp_path) as server:
        status, said = await server.script(as_nsupdate(wanted(OFFER), ZONE), "stranger")
        assert status != 0
        assert "BADKEY" in said
        assert await server.texts(ZONE, "MX") == []
