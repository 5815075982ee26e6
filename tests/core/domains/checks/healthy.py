"""A domain whose DNS is as it should be, for tests that spoil one thing."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from gateway.domains.checks.dkim import SigningKey
from gateway.domains.checks.domain import Expected
from gateway.domains.checks.ownership import Claim
from gateway.domains.checks.srv import Service
from gateway.domains.probing import Probing
from gateway.testing.clock import START
from gateway.testing.dns_server import DnsServer, Record

DOMAIN = "customer.test"
TOKEN = "k7x2q5c3v6b4n7m2j5h3g6f4d7s2a5p3"  # no secret: it stands in the DNS
LABEL = "_stellwerk-challenge"
KEY = "MIIB" + "A1b2C3d4" * 48 + "AQAB"
DIGEST = "ab" * 32
LOOPBACK = ip_network("127.0.0.0/8")

CLAIM = Claim(token=TOKEN, gateway_name="mx1.gateway.test", label=LABEL, account="acct-1")
DKIM = SigningKey("gw1", KEY)
EXPECTED = Expected(
    claim=CLAIM,
    mx_hosts=("mx1.gateway.test", "mx2.gateway.test"),
    addresses=("192.0.2.10", "192.0.2.11"),
    spf_terms=("include:spf.gateway.test",),
    dkim_keys=(DKIM,),
    services=(Service("_submissions._tcp", "mx1.gateway.test", 465),),
    ca="ca.test",
    tlsa={"mx1.gateway.test": (DIGEST,)},
)

TOKEN_RECORD: Record = (f"{LABEL}.{DOMAIN}", "TXT", f'"{CLAIM.record}"', 300)
DKIM_RECORD: Record = (f"gw1._domainkey.{DOMAIN}", "TXT", DKIM.split_record, 300)
SPF_RECORD: Record = (DOMAIN, "TXT", '"v=spf1 include:spf.gateway.test -all"', 300)
MX_RECORDS: list[Record] = [(DOMAIN, "MX", "10 mx1.gateway.test.", 300), (DOMAIN, "MX", "20 mx2.gateway.test.", 300)]
OTHERS: list[Record] = [
    ("spf.gateway.test", "TXT", '"v=spf1 ip4:192.0.2.10 ip4:192.0.2.11 -all"', 300),
    ("mx1.gateway.test", "A", "192.0.2.10", 300),
    ("mx2.gateway.test", "A", "192.0.2.11", 300),
    (f"_dmarc.{DOMAIN}", "TXT", f'"v=DMARC1; p=reject; rua=mailto:dmarc@{DOMAIN}"', 300),
    (f"_mta-sts.{DOMAIN}", "TXT", '"v=STSv1; id=1"', 300),
    (f"mta-sts.{DOMAIN}", "A", "127.0.0.1", 300),
    (f"_smtp._tls.{DOMAIN}", "TXT", f'"v=TLSRPTv1; rua=mailto:tls@{DOMAIN}"', 300),
    ("_25._tcp.mx1.gateway.test", "TLSA", f"3 1 1 {DIGEST}", 300),
    (f"_submissions._tcp.{DOMAIN}", "SRV", "0 1 465 mx1.gateway.test.", 300),
]
RECORDS: list[Record] = [TOKEN_RECORD, DKIM_RECORD, SPF_RECORD, *MX_RECORDS, *OTHERS]
NAME_SERVERS: list[Record] = [
    (DOMAIN, "NS", f"ns1.{DOMAIN}.", 300),
    (DOMAIN, "NS", f"ns2.{DOMAIN}.", 300),
    (f"ns1.{DOMAIN}", "A", "127.0.0.1", 300),
    (f"ns2.{DOMAIN}", "A", "127.0.0.1", 300),
]
POLICY = "version: STSv1\r\nmode: enforce\r\nmx: *.gateway.test\r\nmax_age: 1209600\r\n"


def without(*unwanted: Record) -> list[Record]:
    return [record for record in RECORDS if record not in unwanted]


def probing(server: DnsServer, **settings: Any) -> Probing:
    """Asks `server`, also where NS leads to loopback, and waits long enough for any machine."""
    fixed: dict[str, Any] = {
        "nameservers": (server.address,),
        "treat_as_public": (LOOPBACK,),
        "try_seconds": 10.0,
        "lookup_seconds": 30.0,
        "port": server.port,
        "clock": lambda: START,
    }
    return Probing(**{**fixed, **settings})
