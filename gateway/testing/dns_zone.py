"""The records a test DNS server knows, and how they answer a question (RFC 1034 4.3.2); it sends nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME

Record: TypeAlias = tuple[str, str, str, int]
"""(name, type, value in zone-file text, TTL in seconds)"""

MAX_ALIASES = 32

_RRSets: TypeAlias = dict[dns.rdatatype.RdataType, dns.rrset.RRset]


class ZoneData:
    """All names of all zones together. The apex of a zone is a name with NS or SOA, else the top-level domain."""

    def __init__(self, records: Iterable[Record], soa_minimum: int) -> None:
        self.soa_minimum = soa_minimum
        self._names: dict[dns.name.Name, _RRSets] = {}
        self._parents: set[dns.name.Name] = set()
        for name, rdtype, value, ttl in records:
            self._add(dns.name.from_text(name), dns.rdatatype.from_text(rdtype), value, ttl)

    def _add(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, value: str, ttl: int) -> None:
        record = dns.rdata.from_text(dns.rdataclass.IN, rdtype, value, origin=dns.name.root, relativize=False)
        rrsets = self._names.setdefault(name, {})
        if rdtype in rrsets:
            rrsets[rdtype].add(record, ttl)
        else:
            rrsets[rdtype] = dns.rrset.from_rdata(name, ttl, record)
        while name != dns.name.root:
            name = name.parent()
            self._parents.add(name)

    def fill(
        self,
        response: dns.message.Message,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        *,
        follow_aliases: bool,
    ) -> None:
        """Put the answer for (`name`, `rdtype`) into `response`: records, aliases, or a SOA and maybe NXDOMAIN."""
        passed: set[dns.name.Name] = set()
        while len(passed) < MAX_ALIASES:
            rrsets = self._at(name)
            if rrsets is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                response.authority.append(self.soa(name))
                return
            if rdtype in rrsets:
                response.answer.append(_owned(rrsets[rdtype], name))
                return
            alias = rrsets.get(dns.rdatatype.CNAME)
            if alias is None:
                response.authority.append(self.soa(name))
                return
            response.answer.append(_owned(alias, name))
            passed.add(name)
            target = alias[0]
            assert isinstance(target, CNAME)
            name = target.target
            if name in passed or not follow_aliases:
                return

    def soa(self, name: dns.name.Name) -> dns.rrset.RRset:
        """The SOA of the zone that `name` lies in."""
        apex = self._apex(name)
        own = self._names.get(apex, {}).get(dns.rdatatype.SOA)
        if own is not None:
            return own
        names = f"{dns.name.from_text('ns', apex)} {dns.name.from_text('hostmaster', apex)}"
        soa = f"{names} 1 7200 900 1209600 {self.soa_minimum}"
        return dns.rrset.from_text(apex, self.soa_minimum, dns.rdataclass.IN, dns.rdatatype.SOA, soa)

    def referral(self, name: dns.name.Name) -> dns.rrset.RRset:
        """The NS records a server gives that will not answer for `name` itself."""
        apex = self._apex(name)
        return dns.rrset.from_text(apex, 300, dns.rdataclass.IN, dns.rdatatype.NS, f"{dns.name.from_text('ns', apex)}")

    def _at(self, name: dns.name.Name) -> _RRSets | None:
        """The records at `name`, by wildcard too (RFC 4592 3.3.1); None when the name does not exist."""
        if name in self._names:
            return self._names[name]
        if name in self._parents or name == dns.name.root:
            return {}
        encloser = name.parent()
        while encloser not in self._names and encloser not in self._parents and encloser != dns.name.root:
            encloser = encloser.parent()
        return self._names.get(dns.name.Name((b"*", *encloser.labels)))

    def _apex(self, name: dns.name.Name) -> dns.name.Name:
        while len(name.labels) > 2:
            rrsets = self._names.get(name, {})
            if dns.rdatatype.NS in rrsets or dns.rdatatype.SOA in rrsets:
                return name
            name = name.parent()
        return name


def _owned(rrset: dns.rrset.RRset, name: dns.name.Name) -> dns.rrset.RRset:
    """The records under the name that was asked for, which matters when a wildcard gave them."""
    return dns.rrset.from_rdata_list(name, rrset.ttl, list(rrset))
