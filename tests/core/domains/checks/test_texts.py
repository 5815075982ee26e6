"""The sentences of the checks: there for every reason in both languages, plain about what happened and what to type."""

from __future__ import annotations

import string
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

from gateway.domains.checks.dkim import SigningKey, check_dkim
from gateway.domains.checks.hostile import MAX_CHARACTERS, shown
from gateway.domains.checks.mx import check_mx
from gateway.domains.checks.ownership import check_ownership
from gateway.domains.checks.reasons import ALL_REASONS
from gateway.domains.checks.result import Observation, Result
from gateway.domains.checks.spf.check import check_spf
from gateway.domains.checks.texts import LANGUAGES, Language, english, german, sentence
from gateway.domains.probing import Probe
from gateway.testing.clock import START
from gateway.testing.dns_server import DnsServer, Record
from tests.core.domains.checks.healthy import CLAIM, DKIM, DOMAIN, EXPECTED, KEY, LABEL, RECORDS, probing, without

PAGE = Path(__file__).parents[4] / "docs/admin/domains/checks.md"
TABLES: dict[Language, Mapping[str, str]] = {"en": english.SENTENCES, "de": german.SENTENCES}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_a_sentence_and_every_sentence_a_reason(language: Language) -> None:
    reasons = {key.partition(":")[0].partition(".")[0] for key in TABLES[language]}
    assert reasons == set(ALL_REASONS)
    assert set(ALL_REASONS) <= set(TABLES[language])
    assert set(english.PHRASES) == set(german.PHRASES)


def test_both_languages_have_the_same_sentences_with_the_same_facts() -> None:
    assert set(english.SENTENCES) == set(german.SENTENCES)
    for key, text in english.SENTENCES.items():
        assert fields(text) == fields(german.SENTENCES[key]), key


def test_the_page_for_administrators_knows_every_reason() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [reason for reason in ALL_REASONS if not reason.startswith("dns_") and f"`{reason}`" not in page] == []


async def misplaced(probe: Probe) -> Result:
    return await check_ownership(DOMAIN, CLAIM, probe)


async def mail_hosts(probe: Probe) -> Result:
    return await check_mx(DOMAIN, EXPECTED.mx_hosts, EXPECTED.addresses, probe)


async def senders(probe: Probe) -> Result:
    return await check_spf(DOMAIN, EXPECTED.spf_terms, EXPECTED.addresses, "mx1.gateway.test", probe)


async def key_as_text(probe: Probe) -> Result:
    return await check_dkim(DOMAIN, DKIM, probe)


async def key_by_alias(probe: Probe) -> Result:
    return await check_dkim(DOMAIN, SigningKey("gw1", KEY, cname="gw1.x7k2.dkim.gateway.test."), probe)


def txt(name: str, text: str) -> Record:
    return (name, "TXT", f'"{text}"', 300)


CUT_KEY = txt(f"gw1._domainkey.{DOMAIN}", DKIM.record[:255])
TWO_SPF = [txt(DOMAIN, "v=spf1 include:_spf.other.test ~all"), txt(DOMAIN, "v=spf1 ip4:198.51.100.7 -all")]
MERGED = "v=spf1 include:spf.gateway.test include:_spf.other.test ip4:198.51.100.7 ~all"
MISTAKES = {
    "underscore left out": (
        [txt(f"{LABEL[1:]}.{DOMAIN}", CLAIM.record)],
        misplaced,
        "misplaced_no_underscore",
        (f"at {LABEL[1:]}.{DOMAIN}: the underscore at the beginning is missing", f"Type {LABEL} into the name field"),
        (f"bei {LABEL[1:]}.{DOMAIN}: Der Unterstrich am Anfang fehlt", f"Geben Sie als Namen {LABEL} ein"),
    ),
    "domain appended twice": (
        [txt(f"{LABEL}.{DOMAIN}.{DOMAIN}", CLAIM.record)],
        misplaced,
        "misplaced_doubled_suffix",
        (f"at {LABEL}.{DOMAIN}.{DOMAIN}: your panel appended the domain a second time", f"Type only {LABEL} into"),
        (f"bei {LABEL}.{DOMAIN}.{DOMAIN}: Ihre DNS-Verwaltung hat die Domain ein zweites Mal", f"nur {LABEL} ein"),
    ),
    "key at the domain itself": (
        [txt(DOMAIN, CLAIM.record)],
        misplaced,
        "misplaced_apex",
        (f"at {DOMAIN} itself", f"the name field must be {LABEL}", f"the value stays {CLAIM.record}"),
        (f"bei {DOMAIN} selbst", f"muss {LABEL} stehen", f"der Wert bleibt {CLAIM.record}"),
    ),
    "key cut at 255": (
        [CUT_KEY],
        key_as_text,
        "dkim_truncated",
        ("your panel cut the value after 255 characters", DKIM.split_record),
        ("hat den Wert nach 255 Zeichen abgeschnitten", DKIM.split_record),
    ),
    "key cut at 255, alias offered": (
        [CUT_KEY],
        key_by_alias,
        "dkim_truncated",
        ("cut the value after 255", "a CNAME instead: name gw1._domainkey, target gw1.x7k2.dkim.gateway.test."),
        ("nach 255 Zeichen", "stattdessen einen CNAME: Name gw1._domainkey, Ziel gw1.x7k2.dkim.gateway.test."),
    ),
    "two SPF records": (
        [*TWO_SPF, txt("spf.gateway.test", "v=spf1 ip4:192.0.2.10 ip4:192.0.2.11 -all")],
        senders,
        "spf_multiple",
        (
            "more than one SPF record",
            f"Delete them all and enter this one instead: {MERGED}",
        ),
        (
            "mehr als einen SPF-Eintrag",
            f"Löschen Sie alle und legen Sie stattdessen diesen an: {MERGED}",
        ),
    ),
    "relative MX": (
        [(DOMAIN, "MX", f"10 mx2.gateway.test.{DOMAIN}.", 300)],
        mail_hosts,
        "mx_missing_dot",
        (f"mx2.gateway.test.{DOMAIN}: your panel appended {DOMAIN}", "Type mx2.gateway.test. with a dot at the end"),
        (f"hat {DOMAIN} angehängt", "Geben Sie mx2.gateway.test. mit einem Punkt am Ende ein"),
    ),
}


@pytest.mark.parametrize(("mistake", "language"), list(product(MISTAKES, LANGUAGES)))
async def test_common_mistakes_are_told_with_what_to_type_instead(mistake: str, language: Language) -> None:
    records, check, reason, in_english, in_german = MISTAKES[mistake]
    async with DnsServer(records) as server, probing(server).open() as probe:
        result = await check(probe)
    assert result.reason == reason, result
    told = sentence(result, language)
    for part in in_english if language == "en" else in_german:
        assert part in told
    assert server.address in told
    assert "2027-01-15 08:00:00 UTC" in told  # START
    assert "?" not in told.replace("?all", "")


async def test_the_answer_at_the_wrong_place_is_shown_with_that_place() -> None:
    async with DnsServer([txt(DOMAIN, CLAIM.record)]) as server, probing(server).open() as probe:
        told = sentence(await misplaced(probe), "en")
    assert f"for TXT at {LABEL}.{DOMAIN} on 2027-01-15 08:00:00 UTC and got the answer that there is no such" in told
    assert f"for TXT at {DOMAIN} on 2027-01-15 08:00:00 UTC and got '{CLAIM.record}'" in told


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("a\x1b[31mred", "a[31mred"),
        ("one\r\ntwo\x00", "onetwo"),
        ("abc\u202edef\u2066g", "abcdefg"),
        ("zero\u200bwidth\u200d\ufeff", "zerowidth"),
        ("line\u2028end\u0085", "lineend"),
        ("tag\U000e0041", "tag"),
        ("M\u00fcller \u65e5\u672c", "M\u00fcller \u65e5\u672c"),
    ],
)
def test_invisible_characters_are_dropped(hostile: str, harmless: str) -> None:
    assert shown(hostile) == harmless


def test_long_text_is_cut() -> None:
    assert len(shown("x" * 10_000)) == MAX_CHARACTERS
    assert len(shown("\u202e" * 10_000)) == 0


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_a_stranger_publishes_cannot_dress_up_a_sentence(language: Language) -> None:
    evil = r"\027[2J\226\128\174{record}{0.__class__}<script>" + "y" * 200
    records: list[Record] = [(f"{LABEL}.{DOMAIN}", "TXT", " ".join([f'"{evil}"'] * 4), 300)]
    async with DnsServer(records) as server, probing(server).open() as probe:
        result = await check_ownership(DOMAIN, CLAIM, probe)
    told = sentence(result, language)
    assert result.reason == "token_mismatch"
    assert told.isprintable()
    assert "\u202e" not in told
    assert "{record}{0.__class__}" in told, "braces of a stranger are text"
    assert len(told) < 3 * MAX_CHARACTERS


@pytest.mark.parametrize("language", LANGUAGES)
def test_results_of_older_releases_still_read(language: Language) -> None:
    result = Result("mx", "fail", "mx_elsewhere", True, (Observation(START, "", "a.test", "MX", "NOERROR"),))
    assert "?" in sentence(result, language)


async def test_what_is_to_be_typed_is_never_cut() -> None:
    long_key = SigningKey("gw1", "A1b2" * 300)
    async with DnsServer(without()) as server, probing(server).open() as probe:
        result = await check_dkim(DOMAIN, long_key, probe)
    assert result.reason == "dkim_mismatch"
    assert long_key.record in sentence(result, "en")
    assert RECORDS
