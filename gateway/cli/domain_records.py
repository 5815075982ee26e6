"""What `stellwerk domain records` prints: gathered here, written by gateway/domains/records.py."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.cli.directory_options import Office
    from gateway.dns.resolver import Resolver
    from gateway.domains.records import LadderStep, WantedRecord


@dataclass(frozen=True, slots=True)
class Wanted:
    """The records, the zone they are entered in, and the steps of DMARC behind the first."""

    records: tuple[WantedRecord, ...]
    zone: str
    ladder: tuple[LadderStep, ...]

    def to_json(self) -> dict[str, Any]:
        from gateway.domains.records import as_panel, rdata

        panel = as_panel(self.records, self.zone)
        return {
            "zone": self.zone,
            "records": [
                {**asdict(record), "rdata": rdata(record), "panel_name": row.name, "panel_value": row.value}
                for record, row in zip(self.records, panel, strict=True)
            ],
            "dmarc_ladder": [asdict(step) for step in self.ladder],
        }


async def wanted_here(office: Office, name: str, organisation: str, *, zone: str, spf: str, resolve: bool) -> Wanted:
    """With `resolve` DNS is asked for the SPF record there is, and for every host that is named."""
    from gateway.directory import names
    from gateway.directory.errors import BadValue
    from gateway.dns.resolver import Resolver
    from gateway.domains.offering import offer_of
    from gateway.domains.records import dmarc_ladder, wanted
    from gateway.domains.showing import find_claim

    shown = await find_claim(office.store, office.actor, name, organisation)
    domain = shown.row.name
    above = names.domain(zone) if zone else domain
    if domain != above and not domain.endswith("." + above):
        raise BadValue(f"{domain} is not in the zone {above}; expected it, or a name above it")
    reports = await _reports(office, domain)
    if not resolve:
        offer = offer_of(office.config, shown, existing_spf=spf, reports_to=reports)
        return Wanted(wanted(offer), above, dmarc_ladder(offer))
    resolver = Resolver(office.config.dns.nameservers)
    try:
        spf = spf or await _spf_of(resolver, domain)
        offer = offer_of(office.config, shown, existing_spf=spf, reports_to=reports)
        found = wanted(offer)
        await _warn_of_unresolved(resolver, found)
    finally:
        await resolver.close()
    return Wanted(found, above, dmarc_ladder(offer))


async def _reports(office: Office, domain: str) -> str:
    """dmarc@ where there is such an address; else the postmaster, whom every domain has."""
    from sqlalchemy import select

    from gateway.directory.tables import address

    key = f"dmarc@{domain}"
    there = await office.store.read(select(address.c.key).where(address.c.key == key))
    return key if there else f"postmaster@{domain}"


async def _spf_of(resolver: Resolver, domain: str) -> str:
    from dns.rdtypes.ANY.TXT import TXT

    from gateway.dns.answers import Found

    answer = await resolver.lookup(domain, "TXT")
    if not isinstance(answer, Found):
        return ""
    texts = (b"".join(record.strings).decode("utf-8", "replace") for record in answer.of(TXT))
    return next((text for text in texts if text.lower().split(" ")[0] == "v=spf1"), "")


async def _warn_of_unresolved(resolver: Resolver, found: tuple[WantedRecord, ...]) -> None:
    from gateway.dns.answers import Found
    from gateway.domains.records import unresolved

    known: dict[str, bool] = {}
    for target in {record.target for record in found if record.target}:
        answers = [await resolver.lookup(target, rdtype) for rdtype in ("A", "AAAA")]
        known[target] = any(isinstance(answer, Found) for answer in answers)
    for target in unresolved(found, known.__getitem__):
        click.echo(
            f"{target} has no address in DNS that can be seen: put one there before anybody points at it", err=True
        )
