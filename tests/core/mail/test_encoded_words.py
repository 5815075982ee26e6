"""Encoded words of RFC 2047 are read where they can be read, and nothing makes the reader fail or crawl."""

from __future__ import annotations

import email.header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.encoded_words import decode_words
from gateway.mail.headers import MAX_TEXT_OCTETS, Headers


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("Invoice 7", "Invoice 7"),
        ("", ""),
        ("=?utf-8?q?R=C3=BCckruf_heute?=", "Rückruf heute"),
        ("=?UTF-8?B?UsO8Y2tydWY=?=", "Rückruf"),
        ("=?utf-8?B?UsO8Y2tydWY?=", "Rückruf"),
        ("Re: =?iso-8859-1?Q?R=FCckruf?= (heute)", "Re: Rückruf (heute)"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= \t =?iso-8859-1?q?b?=", "ab"),
        ("=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?q?two words?=", "two words"),
        ("=?utf-8?q?=FF?=", "\ufffd"),
    ],
)
def test_words_are_read(coded: str, text: str) -> None:
    assert decode_words(coded) == text


@pytest.mark.parametrize(
    "coded",
    [
        "=?no-such-charset?q?a?=",
        "=?hex?q?61?=",
        "=?punycode?q?a-b?=",
        "=?unicode-escape?q?=5Cx41?=",
        "=?utf-8?b?A?=",
        "=?utf-8?x?a?=",
        "=?utf-8?q?a",
        "=??q?a?=",
        "=?",
    ],
)
def test_what_cannot_be_read_stays(coded: str) -> None:
    assert decode_words(coded) == coded


@pytest.mark.parametrize("piece", ["=?", "=?a?q?", "=?utf-8?q?", "=?utf-8?b?QQ==?= ", "=?utf-8?q?=C3?=", "=?a*", "?="])
def test_no_text_makes_it_crawl(piece: str) -> None:
    """Quadratic work on 2 MB would not end within the run of the tests."""
    assert decode_words(piece * (2_000_000 // len(piece)))


@given(st.text(alphabet=st.sampled_from("=?utf-8qQbB*_ \tA1Zü\ud7ff+/-."), max_size=80))
def test_any_text_is_survived(text: str) -> None:
    decode_words(text).encode()


def test_lone_surrogates_do_not_come_out() -> None:
    decode_words("=?utf-7?q?+2AA-?=").encode()


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=60))
def test_what_python_writes_is_read(text: str) -> None:
    coded = email.header.Header(text, "utf-8", maxlinelen=10_000).encode()
    assert decode_words(coded) == text


def test_texts_of_a_field_that_is_there_twice() -> None:
    headers = Headers(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nTo: x\r\nSUBJECT: folded\r\n text\r\n")
    assert headers.texts("subject") == ["Grüße", "folded text"]
    assert headers.texts("cc") == []


def test_texts_of_a_huge_header_are_cut() -> None:
    headers = Headers(b"Subject: " + b"a" * 100_000 + b"\r\nSubject: second\r\n")
    assert [len(text) for text in headers.texts("subject")] == [MAX_TEXT_OCTETS - len("Subject: ")]
    assert headers.texts("subject", 100_021)[1] == "s"
