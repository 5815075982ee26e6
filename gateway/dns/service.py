"""DNS as plugins see it: one question about a mail domain, answered by one shared resolver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import cast

from gateway.config.models import Config
from gateway.dns.mail_domain import DomainVerdict, MailDomainRules, Role, mail_domain
from gateway.dns.resolver import Resolver
from gateway.mail.address import AddressError, normalise_domain


class DnsService:
    """`hosts(domain)` tells hosted domains apart: they are accepted without a query."""

    def __init__(self, config: Config, hosts: Callable[[str], bool]) -> None:
        self._hosts = hosts
        self._nameservers = config.dns.nameservers
        self._rules = MailDomainRules(
            treat_as_public=tuple(ip_network(each) for each in config.dns.treat_as_public),
            own_names=frozenset(config.server.mx_hosts),
        )
        self._resolver: Resolver | None = None

    async def mail_domain(self, domain: str, role: str) -> DomainVerdict:
        """Whether `domain` can take mail. `role` is `sender` or `recipient`; the empty domain is the null sender's."""
        self._resolver = self._resolver or Resolver(self._nameservers)
        try:
            hosted = self._hosts(normalise_domain(domain)) if domain else False
        except AddressError:
            hosted = False
        return await mail_domain(domain, cast("Role", role), self._resolver, rules=self._rules, hosted=hosted)

    def counts(self) -> tuple[Mapping[str, int], int]:
        """What the look-ups came to (see `Resolver.counts`), and how many answers are remembered. For metrics."""
        return ({}, 0) if self._resolver is None else (self._resolver.counts, self._resolver.cached_answers)

    async def close(self) -> None:
        if self._resolver is not None:
            await self._resolver.close()
