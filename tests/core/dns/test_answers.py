"""How one response is read: aliases, TTLs, negatives, referrals, and what an error code means."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from gateway.dns.answers import ChainEnd, Found, NotFound, Trouble, Unknown, cut, read_response, trouble_of

SOA = "test. 600 IN SOA ns.test. root.test. 1 2 3 4 60"


def response(rcode: str, answer: list[str], authority: list[str], flags: str = "QR RD RA") -> dns.message.Message:
    lines = ["id 1", f"flags {flags}", f"rcode {rcode}", ";QUESTION", "a.test. IN MX", ";ANSWER", *answer]
    return dns.message.from_text("\n".join([*lines, ";AUTHORITY", *authority, ";ADDITIONAL", ""]))


def read(message: dns.message.Message) -> ChainEnd:
    return read_response(message, dns.name.from_text("a.test"), dns.rdatatype.MX)


@pytest.mark.parametrize(
    ("message", "kind", "name", "ttl", "aliases"),
    [
        (response("NOERROR", ["a.test. 300 IN MX 10 m.test."], []), "records", "a.test.", 300, 0),
        (response("NOERROR", ["A.TEST. 300 IN MX 10 m.test."], []), "records", "a.test.", 300, 0),
        (
            response("NOERROR", ["a.test. 30 IN CNAME b.test.", "b.test. 300 IN MX 10 m.test."], []),
            "records", "b.test.", 30, 1,
        ),
        (
            response("NOERROR", ["b.test. 300 IN MX 10 m.test.", "a.test. 900 IN CNAME b.test."], []),
            "records", "b.test.", 300, 1,
        ),
        (response("NXDOMAIN", [], [SOA]), "nxdomain", "a.test.", 60, 0),
        (response("NXDOMAIN", [], []), "nxdomain", "a.test.", 0, 0),
        (response("NXDOMAIN", ["a.test. 30 IN CNAME b.test."], [SOA]), "nxdomain", "b.test.", 30, 1),
        (response("NOERROR", [], [SOA]), "nodata", "a.test.", 60, 0),
        (response("NOERROR", [], []), "nodata", "a.test.", 0, 0),
        (response("NOERROR", ["a.test. 90 IN CNAME b.test."], [SOA]), "nodata", "b.test.", 60, 1),
        (response("NOERROR", ["a.test. 90 IN CNAME b.test."], []), "unfinished", "b.test.", 90, 1),
        (response("NOERROR", [], ["test. 90 IN NS ns.test."]), "lame", "a.test.", 0, 0),
        (response("NOERROR", [], ["test. 90 IN NS ns.test."], "QR AA"), "nodata", "a.test.", 0, 0),
        (response("NOERROR", ["a.test. 90 IN CNAME a.test."], []), "loop", "a.test.", 0, 1),
        (response("NOERROR", ["x.test. 90 IN MX 10 evil.test."], [SOA]), "nodata", "a.test.", 60, 0),
    ],
)  # fmt: skip
def test_where_a_response_leads(message: dns.message.Message, kind: str, name: str, ttl: int, aliases: int) -> None:
    end = read(message)
    assert (end.kind, end.name.to_text().lower(), end.ttl, len(end.aliases)) == (kind, name, ttl, aliases)
    assert bool(end.records) == (kind == "records")


def test_a_chain_without_end_is_a_loop() -> None:
    chain = ["a.test. 9 IN CNAME n0.test.", *(f"n{n}.test. 9 IN CNAME n{n + 1}.test." for n in range(40))]
    assert read(response("NOERROR", chain, [])).kind == "loop"


@pytest.mark.parametrize(
    ("rcode", "ede", "trouble", "words"),
    [
        ("SERVFAIL", None, Trouble.SERVFAIL, "SERVFAIL"),
        ("SERVFAIL", 6, Trouble.BOGUS, "SERVFAIL (dnssec bogus)"),
        ("SERVFAIL", 22, Trouble.SERVFAIL, "SERVFAIL (no reachable authority)"),
        ("SERVFAIL", 4999, Trouble.SERVFAIL, "SERVFAIL (4999)"),
        ("REFUSED", None, Trouble.REFUSED, "REFUSED"),
        ("NOTIMP", None, Trouble.RCODE, "NOTIMP"),
    ],
)
def test_error_codes(rcode: str, ede: int | None, trouble: Trouble, words: str) -> None:
    message = response(rcode, [], [])
    if ede is not None:
        option = dns.edns.EDEOption(dns.edns.EDECode.make(ede), "text that somebody else wrote\r\n")
        message.use_edns(0, options=[option])
    assert trouble_of(message) == (trouble, words)


def test_answers_tell_what_was_seen() -> None:
    end = read(response("NOERROR", ["a.test. 30 IN CNAME b.test.", "b.test. 300 IN MX 10 m.test."], []))
    assert str(Found("a.test", "MX", end.records, 30, "b.test", ("a.test",))) == (
        "a.test MX (an alias of b.test): 10 m.test."
    )
    assert str(NotFound("a.test", "MX", "nodata", 60, "a.test")) == "a.test MX: no such record (NODATA)"
    assert str(Unknown("a.test", "MX", Trouble.TIMEOUT)) == "a.test MX: timeout"
    assert len(cut("x" * 5000)) == 512
