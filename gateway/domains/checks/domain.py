"""All checks of one domain at once, under one budget of queries; and those of the gateway's own name. No store here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.domains.checks import caa, dane, dkim, dmarc, dnssec, host, mta_sts, mx, ownership, ptr, srv, tls_rpt
from gateway.domains.checks.mta_sts import StsBefore, StsFetching
from gateway.domains.checks.ownership import Claim
from gateway.domains.checks.result import Result
from gateway.domains.checks.spf import check as spf
from gateway.domains.checks.srv import Service
from gateway.domains.probing import Probe, Probing

REQUIRED = (ownership.CHECK, mx.CHECK)
CHECK_SECONDS = 30.0  # of one check, look-ups and fetching together


@dataclass(frozen=True, slots=True)
class Expected:
    """What this gateway wants to see of a domain, in plain values. What is left empty is not checked.

    `addresses` are all that the `mx_hosts` have (none: what the DNS gives for them), `sending_addresses` those that
    mail leaves from (none: the same). `spf_terms` name the gateway in an SPF record (none: `a:` with each mail host),
    `ca` is the authority that issues for `mta-sts.DOMAIN`, `tlsa` the digests (hex, SHA-256 of the public key) by mail
    host, `sts_before` what the check before saw.
    """

    claim: Claim
    mx_hosts: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    sending_addresses: tuple[str, ...] = ()
    spf_terms: tuple[str, ...] = ()
    dkim_keys: tuple[dkim.SigningKey, ...] = ()
    services: tuple[Service, ...] = ()
    ca: str = ""
    tlsa: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    sts_before: StsBefore | None = None


async def check_domain(
    domain: str, expected: Expected, probing: Probing, *, fetching: StsFetching | None = None
) -> tuple[Result, ...]:
    """Every check of `domain` (A-labels), in a fixed order; ownership and MX are required, the others are advice."""
    async with probing.open() as probe:
        advice = _advice(domain, expected, probe, fetching)
        try:
            required = await asyncio.gather(*_required(domain, expected, probe))
            probe.required_done()
            return (*required, *await asyncio.gather(*advice))
        finally:
            for task in advice:
                task.cancel()
            await asyncio.gather(*advice, return_exceptions=True)


async def check_required(
    domain: str, expected: Expected, probing: Probing, kinds: Collection[str] = REQUIRED
) -> tuple[Result, ...]:
    """Those of ownership and MX that are due: what the state of a domain rests on, at a fraction of the queries."""
    async with probing.open() as probe:
        return tuple(await asyncio.gather(*_required(domain, expected, probe, kinds)))


async def check_gateway(name: str, addresses: Sequence[str], probing: Probing) -> tuple[Result, ...]:
    """For the operator: the gateway's own name, and the reverse name of every address that mail leaves from."""
    async with probing.open() as probe:
        probe.required_done()
        checks = [_bounded(host.CHECK, host.check_own_name(name, addresses, probe))]
        checks += [_bounded(ptr.CHECK, ptr.check_ptr(each, name, probe)) for each in addresses]
        return tuple(await asyncio.gather(*checks))


def _required(
    domain: str, expected: Expected, probe: Probe, kinds: Collection[str] = REQUIRED
) -> list[Awaitable[Result]]:
    claim = expected.claim
    checks: list[Awaitable[Result]] = []
    if ownership.CHECK in kinds:
        checks.append(_bounded(ownership.CHECK, ownership.check_ownership(domain, claim, probe), required=True))
    if mx.CHECK in kinds:
        mail = mx.check_mx(domain, expected.mx_hosts, expected.addresses, probe, registrable=claim.registrable)
        checks.append(_bounded(mx.CHECK, mail, required=True))
    return checks


def _advice(
    domain: str, expected: Expected, probe: Probe, fetching: StsFetching | None
) -> list[asyncio.Future[Result]]:
    claim = expected.claim
    senders = expected.sending_addresses or expected.addresses
    terms = expected.spf_terms or tuple(f"a:{host}" for host in expected.mx_hosts)
    checks: list[tuple[str, Awaitable[Result]]] = []
    checks.append((spf.CHECK, spf.check_spf(domain, terms, senders, claim.gateway_name, probe)))
    checks += [(dkim.CHECK, dkim.check_dkim(domain, key, probe)) for key in expected.dkim_keys]
    checks.append((dmarc.CHECK, dmarc.check_dmarc(domain, probe, registrable=claim.registrable)))
    before = expected.sts_before
    checks.append((mta_sts.CHECK, mta_sts.check_mta_sts(domain, probe, fetching=fetching, before=before)))
    checks.append((tls_rpt.CHECK, tls_rpt.check_tls_rpt(domain, probe)))
    checks += [(dane.CHECK, dane.check_dane(domain, host, digests, probe)) for host, digests in expected.tlsa.items()]
    checks += [(srv.CHECK, srv.check_srv(domain, service, probe)) for service in expected.services]
    if expected.ca:
        checks.append((caa.CHECK, caa.check_caa(domain, expected.ca, f"mta-sts.{domain}", probe)))
    checks.append((dnssec.CHECK, dnssec.check_dnssec(domain, probe)))
    return [asyncio.ensure_future(_bounded(name, check)) for name, check in checks]


async def _bounded(name: str, check: Awaitable[Result], *, required: bool = False) -> Result:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return Result(name, "temp", "not_settled", required, facts={"name": name, "type": "DNS", "detail": ""})
