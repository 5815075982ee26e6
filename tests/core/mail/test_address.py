"""Addresses: what is one, its normal form, and how it is written back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.address import Address, AddressError, normalise_domain
from tests.core.mail.strategies import addresses


@pytest.mark.parametrize(
    ("text", "local", "domain", "written"),
    [
        ("anna@example.test", "anna", "example.test", "anna@example.test"),
        ("Anna.B@EXAMPLE.Test", "Anna.B", "example.test", "Anna.B@example.test"),
        ("anna@example.test.", "anna", "example.test", "anna@example.test"),
        ('"anna"@example.test', "anna", "example.test", "anna@example.test"),
        (r'"an\na"@example.test', "anna", "example.test", "anna@example.test"),
        ('"a b"@example.test', "a b", "example.test", '"a b"@example.test'),
        (r'"a\"b\\c"@example.test', 'a"b\\c', "example.test", r'"a\"b\\c"@example.test'),
        ('"x@y"@example.test', "x@y", "example.test", '"x@y"@example.test'),
        ('""@example.test', "", "example.test", '""@example.test'),
        ("x%y@example.test", "x%y", "example.test", "x%y@example.test"),
        ("x!y@example.test", "x!y", "example.test", "x!y@example.test"),
        ("anna+lists@example.test", "anna+lists", "example.test", "anna+lists@example.test"),
        ("ännä@example.test", "ännä", "example.test", "ännä@example.test"),
        ("a@Bücher.test", "a", "xn--bcher-kva.test", "a@xn--bcher-kva.test"),
        ("a@xn--bcher-kva.test", "a", "xn--bcher-kva.test", "a@xn--bcher-kva.test"),
        ("a@XN--BCHER-KVA.test", "a", "xn--bcher-kva.test", "a@xn--bcher-kva.test"),
        ("a@straße.test", "a", "xn--strae-oqa.test", "a@xn--strae-oqa.test"),
        ("a@ｅｘａｍｐｌｅ．test", "a", "example.test", "a@example.test"),  # noqa: RUF001 - full width on purpose
        ("a@_dmarc.example.test", "a", "_dmarc.example.test", "a@_dmarc.example.test"),
        ("a@localhost", "a", "localhost", "a@localhost"),
        ("x" * 64 + "@example.test", "x" * 64, "example.test", "x" * 64 + "@example.test"),
    ],
)
def test_parse(text: str, local: str, domain: str, written: str) -> None:
    address = Address.parse(text)
    assert (address.local, address.domain, str(address)) == (local, domain, written)


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "anna", "anna@", "@example.test", "an na@example.test", ".anna@example.test", "anna.@example.test",
        "a..b@example.test", "v(c)@example.test", "v@a@example.test", "a,b@example.test", "a;b@example.test",
        "<a>@example.test", '"a@example.test', 'a"b"@example.test', '"a"b"@example.test', '"a\x00"@example.test',
        '"a\r\nb"@example.test', "a\r\n@example.test", "a\x7f@example.test", "\udc80@example.test", "a@\udc80.test",
        "a@example..test", "a@.test", "a@-a.test", "a@a-.test", "a@exa mple.test", "a@exa\x00mple.test",
        "a@192.0.2.1]", "a@example.test\n", "a@" + "x" * 64 + ".test", "a@" + "x." * 130 + "test", "a@xn--a.test",
        "a@a\u200db.test", "a@\u0660a.test",
        "x" * 65 + "@example.test", "ä" * 33 + "@example.test", "x" * 64 + "@" + "a." * 94 + "test",
    ],
)  # fmt: skip
def test_no_address(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert not caught.value.literal
    assert str(caught.value)


@pytest.mark.parametrize("text", ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@[anything"])
def test_address_literals_are_told_apart(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert caught.value.literal


def test_p57_limits_are_octets() -> None:
    domain = ".".join(["x" * 61] * 3)
    local = "y" * (254 - len("@") - len(domain) - len(".zzz"))
    assert len(local) == 64
    assert Address.parse(f"{local}@{domain}.zzz").local == local
    with pytest.raises(AddressError, match="longer than 254 octets"):
        Address.parse(f"{local}@{domain}.zzzz")
    with pytest.raises(AddressError, match="longer than 64 octets"):
        Address.parse(f"{local}y@{domain}.zz")


@given(addresses())
def test_what_is_written_is_read_back(address: Address) -> None:
    again = Address.parse(str(address))
    assert again == address
    assert again.key == address.key


@given(st.text(max_size=40))
def test_whatever_is_accepted_is_stable(text: str) -> None:
    """R16: one normal form, for any spelling."""
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address
    assert normalise_domain(address.domain) == address.domain
    assert address.domain.isascii()
    assert not any(character in str(address) for character in "\r\n\0")


@given(st.text(max_size=30))
def test_domains_have_one_form(text: str) -> None:
    try:
        domain = normalise_domain(text)
    except AddressError:
        return
    assert normalise_domain(domain) == domain
    assert normalise_domain(domain.upper()) == domain
    assert normalise_domain(domain + ".") == domain


def test_r16_spellings_of_one_mailbox_have_one_key() -> None:
    spellings = ["Anna@Bücher.test", "anna@xn--bcher-kva.test.", '"anna"@BÜCHER.TEST', "ANNA@XN--BCHER-KVA.TEST"]
    assert {Address.parse(spelling).key for spelling in spellings} == {"anna@xn--bcher-kva.test"}


@pytest.mark.parametrize(("text", "is_ascii"), [("anna@bücher.test", True), ("ännä@example.test", False)])
def test_only_the_local_part_needs_smtputf8(text: str, is_ascii: bool) -> None:
    assert Address.parse(text).is_ascii == is_ascii
