"""Whatever a stranger publishes: every check ends, with a result and sentences that are fit to be shown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domains.checks.domain import check_domain
from gateway.domains.checks.hostile import shown
from gateway.domains.checks.mta_sts import PolicyError, read_policy
from gateway.domains.checks.spf.merging import merged_record
from gateway.domains.checks.spf.record import SpfSyntaxError, parse
from gateway.domains.checks.tags import TagError, read_tags
from gateway.domains.checks.texts import LANGUAGES, sentence
from gateway.domains.probing import MAX_QUERIES
from gateway.testing.dns_server import DnsServer, Record
from tests.core.domains.checks.healthy import DOMAIN, EXPECTED, LABEL, probing

PLACES = [DOMAIN, f"{LABEL}.{DOMAIN}", f"_dmarc.{DOMAIN}", f"_smtp._tls.{DOMAIN}", f"_mta-sts.{DOMAIN}",
          f"gw1._domainkey.{DOMAIN}", "spf.gateway.test"]  # fmt: skip
STARTS = [b"", b"v=spf1 ", b"v=DMARC1; ", b"v=DKIM1; p=", b"v=TLSRPTv1; rua=", b"v=STSv1; id=", b"token="]
PIECES = [b"include:", b"redirect=", b"exists:%{", b"}", b"a:", b"mx", b"all", b" ", b"%", b"/", b"@", b"p=reject;"]
PIECES += [b"rua=mailto:a@", b"h=sha1;", b"\\", b";", b"{", b"ip4:1.2.3.4/", b"\x1b[2J", b"\xe2\x80\xae", b"99999"]
texts = st.builds(
    lambda start, parts: (start + b"".join(parts))[:255],
    st.sampled_from(STARTS),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=12),
)


def txt(name: str, text: bytes) -> Record:
    return (name, "TXT", '"' + "".join(f"\\{octet:03d}" for octet in text) + '"', 300)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), texts), max_size=6), st.binary(min_size=1, max_size=20))
async def test_every_check_ends_with_a_sentence(rows: list[tuple[str, bytes]], label: bytes) -> None:
    host = "".join(f"\\{octet:03d}" for octet in label)
    records = [txt(name, text) for name, text in rows]
    records += [(DOMAIN, "MX", f"10 {host}.test.", 300), (DOMAIN, "CAA", '0 issue "\\255\\000"', 300)]
    async with DnsServer(records) as server:
        results = await check_domain(DOMAIN, EXPECTED, probing(server))
        assert server.count() <= MAX_QUERIES
    for result in results:
        for language in LANGUAGES:
            told = sentence(result, language)
            assert told.isprintable()
            assert "\u202e" not in told


@given(st.text(max_size=200))
def test_readers_raise_only_what_they_say(text: str) -> None:
    for read, error in ((parse, SpfSyntaxError), (read_tags, TagError), (read_policy, PolicyError)):
        with suppress(error):
            read(text)
    parse(merged_record([f"v=spf1 {text}"], ["include:spf.g.test"]))
    assert shown(shown(text)) == shown(text)


LONG_RECORDS = [
    "v=spf1 include:a." + "a" * 1000 + "!",
    "v=spf1 include:a." + "a" * 60_000 + "!",
    "v=spf1 " + "a:b.test " * 7000,
    "v=spf1 exists:%{d" + "1" * 60_000 + "}",
    "v=spf1 exists:" + "%{d}" * 200 + "!",
]


@pytest.mark.parametrize("text", LONG_RECORDS)
def test_long_spf_records_are_refused(text: str) -> None:
    """Each of them would keep an expression that can turn back busy for minutes, so this also shows that none does."""
    with pytest.raises(SpfSyntaxError):
        parse(text)
    assert merged_record([text], ["include:spf.g.test"]) == "v=spf1 include:spf.g.test ~all"


def test_long_lists_of_tags_are_read_in_one_pass() -> None:
    assert read_tags("p=" + " " * 60_000 + "x" + " " * 3000) == {"p": "x"}
    with pytest.raises(TagError, match="twice"):
        read_tags("v=DMARC1;" + "a=b;" * 15_000)
    with pytest.raises(PolicyError, match="names no host"):
        read_policy("mx: " + "a." * 30_000 + "!")
