"""One knot of its own directories and port on loopback: zones that take dynamic updates, and that knot signs itself."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rdatatype

from gateway.dns.answers import Unknown
from gateway.dns.resolver import Resolver
from tests.integration.ports import reserved_ports
from tests.integration.waiting import until

ZONE = "customer.test"
GATEWAY = "gateway.test"

CONFIGURATION = """\
server:
    rundir: "{directory}/run"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: "{directory}/log"
    any: info
database:
    storage: "{directory}/db"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 1M
key:
  - id: owner
    algorithm: hmac-sha256
    secret: "{owner}"
  - id: narrow
    algorithm: hmac-sha256
    secret: "{narrow}"
  - id: careful
    algorithm: hmac-sha256
    secret: "{careful}"
  - id: stranger
    algorithm: hmac-sha256
    secret: "{stranger}"
acl:
  - id: owner
    key: owner
    action: update
  - id: narrow
    key: narrow
    action: update
    update-type: TXT
    update-owner: name
    update-owner-match: equal
    update-owner-name: [_mailgw-challenge]
  - id: careful
    key: careful
    action: update
    update-type: [TXT, MX]
    update-owner: name
    update-owner-match: equal
    update-owner-name: [_mailgw-challenge, customer.test., _dmarc]
template:
  - id: default
    storage: "{directory}/zones"
    zonefile-sync: -1
"""
SIGNED = """\
policy:
  - id: own
    algorithm: ecdsap256sha256
    single-type-signing: on
"""
ZONE_LINES = """\
  - domain: {name}
    file: {name}.zone
    acl: [owner, narrow, careful]
"""
START = "$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 30\n@ NS ns\nns A 127.0.0.1\n"
KEYS = ("owner", "narrow", "careful", "stranger")


@dataclass(frozen=True)
class Knot:
    """A running server. `keys`: the secrets of those who may change all, one name, what is wanted, and nothing."""

    address: str
    directory: Path
    keys: Mapping[str, str]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def key_file(self, name: str, secret: str = "") -> Path:
        """A key as `tsig-keygen` and BIND write it."""
        file = self.directory / f"{name}.key"
        text = f'key "{name}" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret or self.keys[name]}";\n}};\n'
        file.write_text(text, encoding="ascii")
        file.chmod(0o600)
        return file

    async def texts(self, name: str, rdtype: str) -> list[str]:
        """The records that knot serves now, as in a zone file, sorted."""
        query = dns.message.make_query(name, rdtype)
        answer = await dns.asyncquery.tcp(query, "127.0.0.1", 60, self.port)
        wanted = dns.rdatatype.from_text(rdtype)
        return sorted(each.to_text() for rrset in answer.answer if rrset.rdtype == wanted for each in rrset)

    async def script(self, text: str, key: str = "owner") -> tuple[int, str]:
        """Run Debian's knsupdate on a script: exit status, and what it said."""
        signature = f"hmac-sha256:{key}:{self.keys[key]}"
        process = await asyncio.create_subprocess_exec(
            "knsupdate", "-y", signature,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate(f"server 127.0.0.1 {self.port}\n{text}".encode())
        assert process.returncode is not None
        return process.returncode, said.decode()


@asynccontextmanager
async def knot(
    directory: Path, records: Mapping[str, str] | None = None, *, signed: Sequence[str] = ()
) -> AsyncIterator[Knot]:
    """A running knot with these zones' records; SOA and NS are added. Without any: an empty zone of a customer."""
    zones = {ZONE: "", GATEWAY: "mx1 A 192.0.2.25\n", **(records or {})}
    keys = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in KEYS}
    with reserved_ports() as ports:
        port = ports.take()
        for name in ("run", "db", "zones"):
            (directory / name).mkdir(mode=0o700)
        text = CONFIGURATION.format(directory=directory, port=port, **keys) + (SIGNED if signed else "") + "zone:\n"
        for name, own in zones.items():
            (directory / "zones" / f"{name}.zone").write_text(f"$ORIGIN {name}.\n{START}{own}", encoding="utf-8")
            text += ZONE_LINES.format(name=name)
            text += "    dnssec-signing: on\n    dnssec-policy: own\n" if name in signed else ""
        configuration = directory / "knot.conf"
        configuration.touch(0o600)
        configuration.write_text(text, encoding="utf-8")
        process = await asyncio.create_subprocess_exec("knotd", "-c", str(configuration))
        server = Knot(f"127.0.0.1:{port}", directory, keys)
        try:
            for name in zones:
                await until(lambda name=name: _serves(server, name, process), f"knot serves {name}: {directory}/log")  # type: ignore[misc]
            yield server
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _serves(server: Knot, zone: str, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, f"knot has ended: {server.directory / 'log'}"
    async with Resolver([server.address], tries=1, try_seconds=1.0) as resolver:
        return not isinstance(await resolver.lookup(zone, "SOA"), Unknown)
