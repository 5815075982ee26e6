"""The mailboxes that stand in the configuration file, for tests, demonstrations and very small sites."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.models import HostedConfig
from gateway.mail.address import Address

POSTMASTER = "postmaster"
# With "*" or behind a "+" these would reach a next hop that may take them for a route (RFC 5321 F.2, the "percent
# hack", UUCP paths).
_ROUTING_CHARACTERS = frozenset("@%!")


class StaticDirectory:
    """[hosted."domain"] as a directory. `hostname` is the gateway's own name: it has a postmaster and nobody else."""

    def __init__(self, hosted: Mapping[str, HostedConfig], hostname: str) -> None:
        self._hosted = {domain: frozenset(box.lower() for box in entry.mailboxes) for domain, entry in hosted.items()}
        self._hostname = hostname

    @property
    def domains(self) -> frozenset[str]:
        """Every domain of the configuration, as A-labels."""
        return frozenset(self._hosted)

    def hosts(self, domain: str) -> bool:
        """Whether `domain` (A-label, lower case) is hosted."""
        return domain in self._hosted

    def has_mailbox(self, address: Address) -> bool:
        """Whether the address, its +subaddress left aside, takes mail here. Every domain has a postmaster (4.5.1)."""
        local = address.local.lower()
        boxes = self._hosted.get(address.domain)
        if local == POSTMASTER:
            return boxes is not None or address.domain == self._hostname
        if boxes is None:
            return False
        if local in boxes:
            return True
        return not _ROUTING_CHARACTERS.intersection(local) and ("*" in boxes or local.partition("+")[0] in boxes)
