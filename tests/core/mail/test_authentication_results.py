"""Authentication-Results: what is read of them, from whom, and that nothing in a header can break the reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.authentication_results import Authentication, TrustedServers, authserv_id, parse, read
from gateway.mail.headers import Headers

SERVERS = TrustedServers(frozenset({"mx.example.org"}))
RECEIVED = "Received: from client.test by mx.example.org; Sun, 22 Nov 2026 08:00:00 +0000\r\n"
OTHERS_RECEIVED = "Received: from a.test by client.test; Sun, 22 Nov 2026 07:59:59 +0000\r\n"


def field(results: str, server: str = "mx.example.org") -> str:
    return f"Authentication-Results: {server}; {results}\r\n"


def found(header: str, servers: TrustedServers = SERVERS) -> Authentication:
    return read(Headers(header.encode()), servers)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mx.test; none", []),
        ("mx.test 1; none", []),
        ("mx.test;none", []),
        ("mx.test", []),
        ("", []),
        ("mx.test; spf=pass smtp.mailfrom=example.net", ["spf=pass smtp.mailfrom=example.net"]),
        ("mx.test 1 (x); SPF = Pass smtp . MailFrom = A@B.test", ["spf=pass smtp.mailfrom=A@B.test"]),
        ("mx.test; dkim/1=fail header.d=a.test;", ["dkim=fail header.d=a.test"]),
        ("mx.test; spf=pass; dkim=none", ["spf=pass", "dkim=none"]),
        ("mx.test; spf=fail (a; dmarc=pass) smtp.helo=a", ["spf=fail smtp.helo=a"]),
        ("mx.test; spf=fail (a (b) \\) ; dmarc=pass) smtp.helo=a", ["spf=fail smtp.helo=a"]),
        ('mx.test; spf=fail smtp.mailfrom="a; dmarc=pass"@b.test', ["spf=fail smtp.mailfrom=a; dmarc=pass@b.test"]),
        ('mx.test; auth=pass smtp.auth="q\\"t"', ['auth=pass smtp.auth=q"t']),
        ("mx.test; dkim=pass header.b=ab/9+=; spf=none", ["dkim=pass header.b=ab/9+=", "spf=none"]),
        ("mx.test; spf=pass smtp.mailfrom=; dmarc=pass", ["spf=pass smtp.mailfrom=", "dmarc=pass"]),
        ("mx.test; spf=pass smtp.helo=a smtp.helo=b", ["spf=pass smtp.helo=a"]),
        # what breaks the grammar is left out, and nothing behind it
        ("mx.test; spf; dkim=pass", ["dkim=pass"]),
        ("mx.test; spf=pass rubbish; dkim=pass", ["dkim=pass"]),
        ("mx.test; spf=pass smtp.=x; dkim=pass", ["dkim=pass"]),
        ("mx.test; spf=pass smtp.helo; dkim=pass", ["dkim=pass"]),
        ("mx.test;; =pass; dkim=pass", ["dkim=pass"]),
        ('mx.test; spf=pass "x"; dkim=pass', ["dkim=pass"]),
    ],
)
def test_a_field_is_read(value: str, expected: list[str]) -> None:
    assert [str(result) for result in parse(value)] == expected


def test_parts_of_a_result() -> None:
    [result] = parse('MX.test; dkim=fail reason="body hash; bad" header.d=a.test header.s=s1 (2048 bits)')
    assert (result.method, result.result, result.reason) == ("dkim", "fail", "body hash; bad")
    assert (dict(result.properties), result.authserv_id) == ({"header.d": "a.test", "header.s": "s1"}, "mx.test")


@pytest.mark.parametrize(
    "value", ["mx.test; spf=pass (open", 'mx.test; spf=pass smtp.helo="open', "(mx.test; spf=pass"]
)
def test_what_never_ends_is_not_read_at_all(value: str) -> None:
    with pytest.raises(ValueError, match="has no end"):
        parse(value)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ("dkim=pass", "pass"),
        ("dkim=fail", "fail"),
        ("dkim=fail; dkim=pass", "pass"),
        ("dkim=temperror; dkim=fail", "fail"),
        ("dkim=policy", "fail"),
        ("dkim=softfail", "fail"),
        ("dkim=none", "none"),
        ("dkim=neutral", "none"),
        ("dkim=temperror", "none"),
        ("dkim=permerror", "none"),
        ("dkim=passed", "none"),
        ("spf=pass", "none"),
        ("none", "none"),
    ],
)
def test_no_result_is_a_third_verdict(results: str, verdict: str) -> None:
    assert found(field(results)).verdict("DKIM") == verdict


def test_topmost_field_that_speaks_of_a_method_decides() -> None:
    told = found(field("spf=fail") + field("spf=pass; dkim=pass"))
    assert (told.verdict("spf"), told.verdict("dkim")) == ("fail", "pass")
    assert [str(result) for result in told.results] == ["spf=fail", "spf=pass", "dkim=pass"]
    assert [str(result) for result in told.of("spf")] == ["spf=fail"]


@pytest.mark.parametrize(
    ("header", "verdict", "ignored"),
    [
        (RECEIVED + field("dmarc=fail") + OTHERS_RECEIVED, "fail", 0),
        (field("dmarc=fail") + RECEIVED, "fail", 0),
        (RECEIVED + OTHERS_RECEIVED + field("dmarc=pass"), "none", 1),
        (RECEIVED + field("dmarc=fail") + OTHERS_RECEIVED + field("dmarc=pass"), "fail", 1),
        (RECEIVED + field("dmarc=pass", "evil.test"), "none", 0),
        (RECEIVED + field("dmarc=pass", "mx.example.org.evil.test"), "none", 0),
        (RECEIVED + field("dmarc=pass", "(mx.example.org) evil.test"), "none", 0),
        (RECEIVED + field("dmarc=pass", '"MX.example\\.org" 1'), "pass", 0),
        (RECEIVED + "Authentication-Results:\r\n mx.example.org;\r\n\tdmarc=pass\r\n", "pass", 0),
        (RECEIVED + field("dmarc=pass (no end"), "none", 1),
        (RECEIVED + "ARC-" + field("dmarc=pass"), "none", 0),
        (RECEIVED + field("dmarc=pass (" + "x" * 20_000 + ")"), "none", 1),
        (RECEIVED + field("spf=none") * 20 + field("dmarc=pass"), "none", 1),
        (RECEIVED + field("spf=none;" * 200 + "dmarc=pass"), "none", 0),
    ],
)
def test_whose_results_count(header: str, verdict: str, ignored: int) -> None:
    told = found(header)
    assert (told.verdict("dmarc"), told.ignored) == (verdict, ignored)


def test_more_than_one_server_in_front() -> None:
    header = RECEIVED + OTHERS_RECEIVED + field("dmarc=pass") + OTHERS_RECEIVED
    servers = TrustedServers(SERVERS.authserv_ids, received=2)
    assert (found(header).verdict("dmarc"), found(header, servers).verdict("dmarc")) == ("none", "pass")


def test_nobody_is_trusted_by_default() -> None:
    assert found(field("dmarc=pass"), TrustedServers()) == Authentication()


_PIECES = st.sampled_from(
    [
        "mx.example.org",
        "; ",
        ";",
        "spf",
        "=",
        "pass",
        "fail",
        "(",
        ")",
        '"',
        "\\",
        ".",
        "smtp.mailfrom=",
        "reason=",
        " ",
        "\r\n ",
        "\r\n",
        "Authentication-Results: ",
        "Received: x",
        "\0",
        "é",
        "none",
        "/1",
    ]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=3)), max_size=60).map("".join))
def test_any_header_can_be_read(text: str) -> None:
    block = ("Authentication-Results: mx.example.org; " + text).encode("utf-8", "surrogatepass")
    told = read(Headers(block), SERVERS)
    assert all(result.authserv_id == "mx.example.org" for result in told.results)
    assert told.verdict("spf") in {"pass", "fail", "none"}


@given(st.text(max_size=50))
def test_comments_and_quoted_strings_hide_what_is_in_them(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("(", "\\(").replace(")", "\\)")
    [spf] = parse(f'mx.test; spf=fail ({quoted}) smtp.mailfrom="{quoted}"')
    assert (spf.result, spf.properties["smtp.mailfrom"]) == ("fail", text)


@pytest.mark.parametrize(
    "hostile", ["(" * 16_000, "()" * 8000, '"' * 16_000, "\\" * 16_000, "a=" * 8000, "; a=b" * 3000]
)
def test_hostile_fields_end(hostile: str) -> None:
    assert found(field(hostile)).verdict("spf") == "none"
    assert authserv_id(hostile + " mx.test") != "mx.test"
