"""One unbound of its own directory and port on loopback, which validates zones: the test's own, or another server's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.dns.answers import Unknown
from gateway.dns.resolver import Resolver
from tests.integration.ports import reserved_ports
from tests.integration.waiting import until

CONFIGURATION = """\
server:
    directory: "{directory}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: "{directory}/log"
    interface: 127.0.0.1
    port: {port}
    do-ip6: no
    module-config: "validator iterator"
    local-zone: "test." nodefault
    trust-anchor-file: "{directory}/anchors"
    ede: yes
    val-log-level: 2
    do-not-query-localhost: no
    cache-max-negative-ttl: 60
remote-control:
    control-enable: no
"""
ZONE = """\
auth-zone:
    name: "{name}"
    zonefile: "{directory}/{name}.zone"
    for-downstream: no
    for-upstream: yes
"""
STUB = """\
stub-zone:
    name: "{name}"
    stub-addr: {address}
"""


@dataclass(frozen=True)
class SignedZone:
    """A zone as its file, and the key that a resolver has to trust."""

    text: str
    anchor: str


def sign(name: str, records: str, *, ago: timedelta = timedelta(hours=1)) -> SignedZone:
    """Sign the records of the zone `name` for two days, beginning `ago`; SOA and NS are added."""
    apex = dns.name.from_text(name)
    start = f"$ORIGIN {apex}\n$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 30\n@ NS ns\nns A 127.0.0.1\n"
    zone = dns.zone.from_text(start + records, origin=apex, relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    algorithm = dns.dnssectypes.Algorithm.ECDSAP256SHA256
    key = dns.dnssec.make_dnskey(private.public_key(), algorithm=algorithm, flags=257)
    begins = datetime.now(UTC) - ago
    dns.dnssec.sign_zone(
        zone, keys=[(private, key)], dnskey_ttl=300, inception=begins, expiration=begins + timedelta(days=2)
    )
    return SignedZone(zone.to_text(relativize=False), f"{apex} 300 IN DNSKEY {key.to_text()}")


@asynccontextmanager
async def unbound(
    directory: Path, zones: Mapping[str, SignedZone], served: Mapping[str, str] | None = None, anchors: str = ""
) -> AsyncIterator[str]:
    """The address of a running unbound that knows `zones` and trusts their keys.

    `served` are zones of other servers, with their addresses; `anchors` are their keys.
    """
    with reserved_ports() as ports:
        port = ports.take()
        text = CONFIGURATION.format(directory=directory, port=port)
        for name, zone in zones.items():
            (directory / f"{name}.zone").write_text(zone.text, encoding="utf-8")
            text += ZONE.format(directory=directory, name=name)
        for name, server in (served or {}).items():
            text += STUB.format(name=name, address=server.replace(":", "@"))
        trusted = "\n".join([*(zone.anchor for zone in zones.values()), anchors, ""])
        (directory / "anchors").write_text(trusted, encoding="utf-8")
        configuration = directory / "unbound.conf"
        configuration.write_text(text, encoding="utf-8")
        process = await asyncio.create_subprocess_exec("unbound", "-d", "-c", str(configuration))
        address = f"127.0.0.1:{port}"
        try:
            await until(lambda: _answers(address, process), f"unbound answers; its log is {directory / 'log'}")
            yield address
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _answers(address: str, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, "unbound has ended"
    async with Resolver([address], tries=1, try_seconds=1.0) as resolver:
        return not isinstance(await resolver.lookup("localhost", "A"), Unknown)
