"""Which names may be claimed, which wait for an operator, and which nobody gets."""

from __future__ import annotations

import pytest

from gateway.directory.errors import BadValue
from gateway.domains.names import claimable, parents
from gateway.domains.token import challenge_name, challenge_text, new_token


@pytest.mark.parametrize(
    ("typed", "name", "hold"),
    [
        ("Example.ORG", "example.org", ""),
        ("example.org.", "example.org", ""),
        ("müller.example", "xn--mller-kva.example", ""),
        ("xn--mller-kva.example", "xn--mller-kva.example", ""),
        ("faß.example", "xn--fa-hia.example", ""),
        ("example\uff0eorg", "example.org", ""),
        ("日本語カナ.example", "xn--lck2c295sncbk91h.example", ""),
        ("github.io", "github.io", "private_suffix"),
        ("mine.github.io", "mine.github.io", ""),
        ("p\u0430ypal.example", "xn--pypal-4ve.example", "mixed_script"),
        ("\u0430\u0440\u0440\u04cf\u0435.example", "xn--80ak6aa92e.example", "confusable"),
        ("пример.example", "xn--e1afmkfd.example", ""),
    ],
)
def test_a_name_has_one_form_and_may_wait_for_somebody(typed: str, name: str, hold: str) -> None:
    found = claimable(typed)
    assert (found.name, found.hold) == (name, hold)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("org", "single label"),
        ("co.uk", "public suffix"),
        ("example.12", "ends in a number"),
        ("printer.local", "nobody owns"),
        ("box.home.arpa", "nobody owns"),
        ("2.0.192.in-addr.arpa", "nobody owns"),
        ("_dmarc.example.org", "no domain"),
        ("*.example.org", "no domain"),
        ("anna@example.org", "no domain"),
        ("https://example.org", "no domain"),
        ("exa mple.org", "no domain"),
        ("example..org", "no domain"),
        ("example.org\r\nX: y", "no domain"),
        ("a\u200db.example", "no domain"),
        ("\u202egro.elpmaxe", "no domain"),
        ("-a.example.org", "no domain"),
        ("ab--c.example.org", "no domain"),
        ("xn--a.example", "no domain"),
        ("", "no domain"),
        (".", "no domain"),
        (".".join(["abcdefgh"] * 29), "longer than|no domain"),
    ],
)
def test_what_is_no_domain_of_anybody_is_refused_with_the_reason(typed: str, why: str) -> None:
    with pytest.raises(BadValue, match=why):
        claimable(typed)


@pytest.mark.parametrize("typed", ["mx1.gateway.test", "gateway.test", "a.mx1.gateway.test"])
def test_the_gateways_own_names_with_those_above_and_below_are_reserved(typed: str) -> None:
    with pytest.raises(BadValue, match="the gateway's own"):
        claimable(typed, {"mx1.gateway.test"})
    assert claimable("other.test", {"mx1.gateway.test"}).name == "other.test"


def test_parents_end_before_the_top_label() -> None:
    assert parents("a.b.customer.test") == ("b.customer.test", "customer.test")


def test_a_token_has_160_bits_and_the_record_names_the_gateway() -> None:
    one, other = new_token(), new_token()
    assert len(one) == 32
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert one != other
    assert challenge_name("customer.test", "mailgw", "exact") == "_mailgw-challenge.customer.test"
    assert challenge_name("customer.test", "mailgw", "tree") == "_mailgw-tree-challenge.customer.test"
    assert challenge_text("abc", "mx1.gateway.test") == "token=abc gateway=mx1.gateway.test expiry=never"
