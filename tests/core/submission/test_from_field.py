"""M14, M15: From fields of programs, and of people who want two readers to see two addresses."""

from __future__ import annotations

from email.headerregistry import Address as HeaderAddress
from email.parser import Parser
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.submission.from_field import FieldError, field_line, phrase, read_mailboxes, written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anna@acme.test", [("", "anna@acme.test")]),
        ("<anna@acme.test>", [("", "anna@acme.test")]),
        ("Anna Berg <anna@acme.test>", [("Anna Berg", "anna@acme.test")]),
        ("Anna\tBerg\t<anna@acme.test>", [("Anna Berg", "anna@acme.test")]),
        ('"Berg, Anna" <anna@acme.test>', [("Berg, Anna", "anna@acme.test")]),
        (r'"Anna \"the\" Berg" <anna@acme.test>', [('Anna "the" Berg', "anna@acme.test")]),
        ("=?utf-8?q?J=C3=BCrgen?= <anna@acme.test>", [("Jürgen", "anna@acme.test")]),
        ("J. Berg <anna@acme.test>", [("J. Berg", "anna@acme.test")]),
        ("anna@acme.test (Anna (the) Berg)", [("", "anna@acme.test")]),
        ("(hello) Anna <anna@acme.test> (bye)", [("Anna", "anna@acme.test")]),
        ("anna@acme.test, Bo <bo@acme.test>", [("", "anna@acme.test"), ("Bo", "bo@acme.test")]),
        (",anna@acme.test,,", [("", "anna@acme.test")]),
        ('"anna@acme.test" <anna@acme.test>', [("anna@acme.test", "anna@acme.test")]),
        ('"odd one"@acme.test', [("", '"odd one"@acme.test')]),
        ('"a,b" <"x>y"@acme.test>', [("a,b", '"x>y"@acme.test')]),
        ("Ännä <ännä@acme.test>", [("Ännä", "ännä@acme.test")]),
    ],
)
def test_what_programs_write(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(each.name, str(each.address)) for each in read_mailboxes(text)] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no address"),
        (" , ", "no address"),
        ("Anna", "an @"),
        ("anna@acme.test <ceo@bank.test>", "an @ in the name"),
        ("ceo@bank.test <anna@acme.test>", "an @ in the name"),
        ("<anna@acme.test> <ceo@bank.test>", "two addresses without a comma"),
        ("<anna@acme.test> ceo@bank.test", "something follows an address"),
        ("anna@acme.test ceo@bank.test", "character"),
        ("anna(x)@acme.test", "character"),
        ("<@bank.test:anna@acme.test>", "character"),
        ("Team: anna@acme.test;", "a group"),
        ("undisclosed:;", "a group"),
        ('"Anna <anna@acme.test>', "quote is not closed"),
        ("Anna <anna@acme.test", "< is not closed"),
        ("(Anna <anna@acme.test>", "comment is not closed"),
        ("Anna) <anna@acme.test>", "outside of quotes"),
        ("Anna \\<anna@acme.test>", "outside of quotes"),
        ("Anna <anna@[192.0.2.1]>", "address literals"),
        ("Anna\x00 <anna@acme.test>", "outside of quotes"),
        ('"An\rna" <anna@acme.test>', "control character"),
        ("Anna <anna@acme.test\r>", "malformed"),
        ("anna@acme..test", "malformed"),
        ("<>", "an @"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, said: str) -> None:
    with pytest.raises(FieldError, match=said):
        read_mailboxes(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3000 + "anna@acme.test",
        "a" * 100_000 + "@acme.test",
        '"' * 3000,
        "<" * 3000,
        "\\" * 3000,
        "anna@acme.test," * 51,
        f"{'x' * 700} <anna@acme.test>",
        "=?utf-8?q?" * 1500,
    ],
)
def test_m14_hostile_fields_raise_nothing_else(text: str) -> None:
    with pytest.raises(FieldError):
        read_mailboxes(text)


def test_m14_deep_comments_are_only_counted() -> None:
    assert read_mailboxes("(" * 3000 + ")" * 3000 + " <anna@acme.test>")[0].written == "anna@acme.test"


@given(st.text(max_size=300) | st.text(alphabet='"<>(),:;@\\ a.\t', max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        found = read_mailboxes(text)
    except FieldError:
        return
    assert found
    # The same again, written anew.
    again = read_mailboxes(", ".join(f"{each.phrase} <{each.written}>" for each in found))
    assert [each.address for each in again] == [each.address for each in found]


@pytest.mark.parametrize(
    "name",
    [
        "Anna Berg", "J. Berg", 'Anna "the" Berg', "Berg, Anna", "back\\slash", "<x@y>", "=?utf-8?q?x?=", "Jürgen Groß",
        "日本語の名前" * 15, "Söhne GmbH, Abteilung für besonders lange Namen in Kopfzeilen von Briefen", "a" * 200,
    ],
)  # fmt: skip
def test_every_name_can_be_written_and_read_again(name: str) -> None:
    line = field_line("From", [written(name, "anna@acme.test")])
    assert line.endswith("\r\n")
    assert all(len(part) <= 300 for part in line.split("\r\n"))
    assert line.isascii()
    unfolded = line.removeprefix("From: ").replace("\r\n", "")
    (read,) = read_mailboxes(unfolded)
    assert (read.name, read.written) == (name, "anna@acme.test")
    # Python's own reader puts a space between two encoded words (RFC 2047 6.2 forbids it); else it agrees.
    (python,) = Parser(policy=default).parsestr(line + "\r\n")["From"].addresses
    assert isinstance(python, HeaderAddress)
    assert python.addr_spec == "anna@acme.test"
    assert python.display_name.replace(" ", "") == name.replace(" ", "")


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=200))
def test_a_phrase_never_ends_its_line_too_soon(name: str) -> None:
    name = " ".join(name.split())
    if not name:
        return
    told = phrase(name)
    assert "\n" not in told.replace("\r\n ", "")
    (read,) = read_mailboxes(f"{told} <anna@acme.test>".replace("\r\n", ""))
    assert read.written == "anna@acme.test"
