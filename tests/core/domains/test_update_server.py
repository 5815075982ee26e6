"""What a name server can answer to a signed question or update, and the sentence for each; none is taken for a no."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest
from dns.rdtypes.ANY.TSIG import TSIG

from gateway.dns.transport import Nameserver
from gateway.domains.publishing import There, Update, steps_for, updates_for
from gateway.domains.records import WantedRecord
from gateway.domains.update_key import UpdateKey
from gateway.domains.update_server import PublishingError, UpdateServer

KEY = UpdateKey("owner", "hmac-sha256", b"x" * 32)
OTHER = UpdateKey("owner", "hmac-sha256", b"y" * 32)
ZONE = "customer.test"
SOA = f"{ZONE}. 60 IN SOA ns.{ZONE}. root.{ZONE}. 1 3600 600 604800 60"
PROOF = WantedRecord(f"_x.{ZONE}", "TXT", "token=abc", 300, True, "")
NOTHING = There(PROOF.name, "TXT")

Answering = Callable[[dns.message.Message], bytes]


def signed(message: dns.message.Message, key: UpdateKey = KEY) -> bytes:
    message.use_tsig(key.signing())
    return message.to_wire()


def answer(
    code: str = "NOERROR", *records: str, authority: tuple[str, ...] = (), flags: dns.flags.Flag = dns.flags.AA
) -> Answering:
    """A signed answer with this code and these records."""

    def make(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.flags |= flags
        response.set_rcode(dns.rcode.from_text(code))
        for section, texts in ((response.answer, records), (response.authority, authority)):
            for text in texts:
                name, ttl, rdclass, rdtype, rest = text.split(" ", 4)
                section.append(dns.rrset.from_text(name, int(ttl), rdclass, rdtype, rest))
        return signed(response)

    return make


def unsigned(code: str = "NOERROR") -> Answering:
    def make(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.tsig = None
        response.flags |= dns.flags.AA
        response.set_rcode(dns.rcode.from_text(code))
        return response.to_wire()

    return make


def tsig_error(code: int, clock: float = 0.0) -> Answering:
    """As a server says that it does not take the signature: with an empty one (RFC 8945 5.3.2)."""

    def make(query: dns.message.Message) -> bytes:
        other = int(time.time() + clock).to_bytes(6, "big") if clock else b""
        algorithm = dns.name.from_text(KEY.algorithm)
        make_record: Any = TSIG  # dnspython has no types for it
        record = make_record(
            dns.rdataclass.ANY, dns.rdatatype.TSIG, algorithm, int(time.time()), 300, b"", query.id, code, other
        )
        data: bytes = record.to_wire()
        owner = dns.name.from_text(KEY.name).to_wire()
        assert owner
        wire = bytearray(unsigned("NOTAUTH")(query))
        wire[10:12] = struct.pack("!H", 1)  # ARCOUNT
        return bytes(wire) + owner + struct.pack("!HHIH", record.rdtype, record.rdclass, 0, len(data)) + data

    return make


@asynccontextmanager
async def serving(*answers: Answering | None) -> AsyncIterator[UpdateServer]:
    """A server over TCP that gives these answers, one to each question; None: none, the connection stays open."""
    left = list(answers)
    talks: list[asyncio.Task[None] | None] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(size), keyring=KEY.signing())
        make = left.pop(0)
        if make is None:
            await reader.read()
        else:
            octets = make(query)
            writer.write(struct.pack("!H", len(octets)) + octets if octets else b"")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield UpdateServer(Nameserver("127.0.0.1", port), KEY, 0.2 if None in answers else 60.0)
    await asyncio.gather(*(talk for talk in talks if talk is not None))


async def refusal(work: Awaitable[object]) -> PublishingError:
    with pytest.raises(PublishingError) as refused:
        await work
    assert "eHh4" not in str(refused.value)  # the secret, in base64
    return refused.value


def the_update() -> Update:
    (update,) = updates_for(steps_for([PROOF], {(PROOF.name, "TXT"): NOTHING}), {(PROOF.name, "TXT"): NOTHING})
    return update


READING = {
    "REFUSED": (answer("REFUSED"), "REFUSED for customer.test: it does not answer for customer.test"),
    "REFUSED, not signed": (unsigned("REFUSED"), "REFUSED for customer.test: it does not answer"),
    "NOTAUTH": (unsigned("NOTAUTH"), "NOTAUTH for customer.test: it is not the server of customer.test"),
    "SERVFAIL": (answer("SERVFAIL"), "SERVFAIL for customer.test: it cannot answer for customer.test at present"),
    "an unusual code": (answer("YXDOMAIN"), "YXDOMAIN for customer.test: that is no answer to expect here"),
    "BADKEY": (tsig_error(17), "BADKEY for customer.test: it does not know the key owner (hmac-sha256)"),
    "BADSIG": (tsig_error(16), "BADSIG for customer.test: it knows a key owner (hmac-sha256) with another secret"),
    "BADTIME": (tsig_error(18, 4000.0), "BADTIME for customer.test: its clock and the one here are "),
    "BADTRUNC": (tsig_error(22), "BADTRUNC for customer.test: it wants longer signatures"),
    "a resolver": (answer("NOERROR", SOA, flags=dns.flags.RA), "is not the server of customer.test"),
    "another's signature": (
        lambda query: signed(dns.message.make_response(query), OTHER),
        "the answer's signature is not by owner",
    ),
    "no DNS": (lambda query: b"HTTP/1.0 400 Bad Request", "sent something that is no DNS answer"),
    "another answer": (lambda query: answer()(dns.message.make_query("x.test", "A")), "answered another question"),
    "no answer": (lambda query: b"", "does not answer over TCP: the connection was closed"),
    "silence": (None, "did not answer within 0.2 s; nothing of it was changed"),
    "no zone": (answer(), "does not say of which zone customer.test is a part"),
    "another zone": (answer(authority=(SOA.replace(ZONE, "other.test"),)), "does not say of which zone"),
    "an alias": (answer("NOERROR", f"{ZONE}. 60 IN CNAME www.test."), "customer.test is an alias (CNAME) of www.test"),
}  # fmt: skip


@pytest.mark.parametrize("case", READING)
async def test_what_cannot_be_read_ends_it(case: str) -> None:
    made, expected = READING[case]
    async with serving(made) as server:
        refused = await refusal(server.zone_of(ZONE))
    assert str(refused).startswith(str(server.server))
    assert expected in str(refused)


async def test_the_clocks_difference_is_told() -> None:
    async with serving(tsig_error(18, 4000.0)) as server:
        refused = await refusal(server.zone_of(ZONE))
    assert any(f"are {seconds} s apart" in str(refused) for seconds in range(3940, 4001))
    assert refused.code == "BADTIME"


@pytest.mark.parametrize("domain", [ZONE, f"mail.{ZONE}"])
async def test_the_zone_is_the_servers_to_say(domain: str) -> None:
    made = answer("NOERROR", SOA) if domain == ZONE else answer("NXDOMAIN", authority=(SOA,))
    async with serving(made) as server:
        assert await server.zone_of(domain) == ZONE


async def test_a_server_that_is_not_there_is_named() -> None:
    async with serving() as gone:
        pass
    assert "does not answer over TCP: Connection refused" in str(await refusal(gone.zone_of(ZONE)))


LOOKS = {
    "no such name": (answer("NXDOMAIN", authority=(SOA,)), NOTHING),
    "no such record": (answer(authority=(SOA,)), NOTHING),
    "an alias": (answer("NOERROR", f"_x.{ZONE}. 60 IN CNAME www.test."), There(PROOF.name, "TXT", alias="www.test")),
}


@pytest.mark.parametrize("case", LOOKS)
async def test_what_is_there(case: str) -> None:
    made, expected = LOOKS[case]
    async with serving(made) as server:
        assert await server.look(PROOF.name, "TXT", ZONE) == expected


async def test_what_a_wildcard_gives_is_not_there() -> None:
    own, general = f'_x.{ZONE}. 60 IN TXT "any"', f'*.{ZONE}. 60 IN TXT "any"'
    async with serving(answer("NOERROR", own), answer("NOERROR", general)) as server:
        assert await server.look(PROOF.name, "TXT", ZONE) == NOTHING
    async with serving(answer("NOERROR", own), answer("NXDOMAIN", authority=(SOA,))) as server:
        assert len((await server.look(PROOF.name, "TXT", ZONE)).records) == 1


ELSEWHERE = {
    "a zone of its own": (answer(authority=(SOA.replace(ZONE, PROOF.name),)), f"is in a zone of its own, {PROOF.name}"),
    "below an alias": (answer("NOERROR", f"{ZONE}. 60 IN DNAME other.test."), "is below an alias (DNAME)"),
    "delegated": (answer(flags=dns.flags.Flag(0)), "the name is delegated"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
async def test_a_name_that_is_not_in_the_zone(case: str) -> None:
    made, expected = ELSEWHERE[case]
    async with serving(made) as server:
        assert expected in str(await refusal(server.look(PROOF.name, "TXT", ZONE)))


UPDATING = {
    "REFUSED": (answer("REFUSED"), "it does not let owner (hmac-sha256) change _x.customer.test TXT"),
    "NOTAUTH": (answer("NOTAUTH"), "it is not the primary server of customer.test"),
    "NOTZONE": (answer("NOTZONE"), "_x.customer.test TXT is not in the zone customer.test"),
    "NOTIMP": (unsigned("NOTIMP"), "it takes no dynamic updates (RFC 2136); enter the records by hand"),
    "FORMERR": (unsigned("FORMERR"), "it did not understand the update"),
    "SERVFAIL": (answer("SERVFAIL"), "it could not carry the update out (SERVFAIL)"),
    "BADKEY": (tsig_error(17), "it has let the key read, but not change _x.customer.test TXT"),
    **{
        code: (answer(code), f"{code} for _x.customer.test TXT: somebody has changed _x.customer.test TXT since")
        for code in ("NXRRSET", "YXRRSET", "NXDOMAIN", "YXDOMAIN")
    },
}


@pytest.mark.parametrize("case", UPDATING)
async def test_an_update_that_is_not_done(case: str) -> None:
    made, expected = UPDATING[case]
    async with serving(made) as server:
        refused = await refusal(server.send(the_update(), ZONE))
    assert expected in str(refused)
    assert str(refused).endswith("nothing of it was changed")


NOT_KNOWN = "whether the update of _x.customer.test TXT was done is not known: run the command again"
UNKNOWN: dict[str, tuple[tuple[Answering | None, ...], str]] = {
    "silence": ((None,), NOT_KNOWN),
    "a broken connection": ((lambda query: b"",), NOT_KNOWN),
    "no DNS": ((lambda query: b"HTTP/1.0 400 Bad Request",), NOT_KNOWN),
    "not signed": ((unsigned(),), f"the answer is not signed; is this the server?; {NOT_KNOWN}"),
    "another's signature": ((lambda query: signed(dns.message.make_response(query), OTHER),), NOT_KNOWN),
    "not shown": ((answer(), answer("NXDOMAIN", authority=(SOA,))), "is done, and does not show it"),
}


@pytest.mark.parametrize("case", UNKNOWN)
async def test_an_update_of_which_nobody_knows(case: str) -> None:
    answers, expected = UNKNOWN[case]
    async with serving(*answers) as server:
        refused = await refusal(server.send(the_update(), ZONE))
    assert expected in str(refused)
    assert "nothing of it was changed" not in str(refused)
    assert refused.code == ""


async def test_an_update_that_is_done_is_seen() -> None:
    async with serving(answer(), answer("NOERROR", f'{PROOF.name}. 60 IN TXT "token=abc"')) as server:
        await server.send(the_update(), ZONE)
