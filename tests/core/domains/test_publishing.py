"""What is changed in an owner's zone, for what is there: single records, and nothing that somebody else wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import dns.rdata
import pytest

from gateway.domains.publishing import Key, Step, There, as_json, as_lines, spf_to_merge, steps_for, updates_for
from gateway.domains.records import Offer, Service, wanted
from gateway.domains.token import challenge_text
from gateway.domains.update_key import UpdateKey

D = "customer.test"
TOKEN = "k7x2q5c3v6b4n7m2j5h3g6f4d7s2a5p3"
OFFER = Offer(
    domain=D,
    label="mailgw",
    scope="exact",
    token=TOKEN,
    gateway="mx1.gateway.test",
    mx_hosts=("mx1.gateway.test", "mx2.gateway.test"),
    reports_to=f"dmarc@{D}",
    services=(Service("imaps", "imap.gateway.test", 993),),
)
CHALLENGE = f"_mailgw-challenge.{D}"
PROOF = f'"{challenge_text(TOKEN, "mx1.gateway.test")}"'
NAMES: Sequence[Key] = ((CHALLENGE, "TXT"), (D, "MX"), (D, "TXT"), (f"_dmarc.{D}", "TXT"), (f"_imaps._tcp.{D}", "SRV"))
KEY = UpdateKey("owner", "hmac-sha256", b"x" * 32)


def there(**records: Sequence[str] | str) -> dict[Key, There]:
    """What the server has: by `proof`, `mx`, `txt`, `dmarc`, `srv`; a text alone is where an alias leads to."""
    found = {}
    for short, (name, rdtype) in zip(("proof", "mx", "txt", "dmarc", "srv"), NAMES, strict=True):
        given = records.get(short, ())
        if isinstance(given, str):
            found[name, rdtype] = There(name, rdtype, alias=given)
        else:
            rdatas = tuple(dns.rdata.from_text("IN", rdtype, each) for each in given)
            found[name, rdtype] = There(name, rdtype, rdatas, 600 if rdatas else 0)
    return found


def planned(only_our_mx: bool = False, **records: Sequence[str] | str) -> tuple[tuple[Step, ...], dict[Key, There]]:
    found = there(**records)
    offer = replace(OFFER, existing_spf=spf_to_merge(found[D, "TXT"]))
    return steps_for(wanted(offer), found, only_our_mx=only_our_mx), found


def lines(only_our_mx: bool = False, **records: Sequence[str] | str) -> list[str]:
    """The difference, without what is only added as always."""
    return [line for step in planned(only_our_mx, **records)[0] for line in as_lines(step)]


ALL_NEW = [
    f"+ {CHALLENGE}. 300 IN TXT {PROOF}",
    f"+ {D}. 300 IN MX 10 mx1.gateway.test.",
    f"+ {D}. 300 IN MX 20 mx2.gateway.test.",
    f'+ {D}. 300 IN TXT "v=spf1 a:mx1.gateway.test a:mx2.gateway.test ~all"',
    f'+ _dmarc.{D}. 300 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@{D}"',
    f"+ _imaps._tcp.{D}. 300 IN SRV 0 1 993 imap.gateway.test.",
]


def test_an_empty_zone_gets_all() -> None:
    assert lines() == ALL_NEW


def test_what_is_there_is_not_entered_again() -> None:
    steps, found = planned(
        proof=[PROOF],
        mx=["5 MX1.gateway.test.", "5 mx2.gateway.test."],
        txt=['"v=spf1  a:mx1.gateway.test a:mx2.gateway.test -all"', '"other=1"'],
        dmarc=['"v=DMARC1; p=none; rua=mailto:dmarc@customer.test"'],
        srv=["0 1 993 imap.gateway.test."],
    )
    assert {step.kind for step in steps} == {"there"}
    assert updates_for(steps, found) == ()
    assert as_lines(steps[1]) == (f"  {D}. 600 IN MX 5 MX1.gateway.test.",)


OTHERS: dict[str, tuple[dict[str, Sequence[str] | str], list[str]]] = {
    "other texts stay beside the key, an older one too": (
        {"proof": ['"token=older gateway=mx1.gateway.test expiry=never"', '"x"']},
        [f"+ {CHALLENGE}. 600 IN TXT {PROOF}"],
    ),
    "the spf record is merged, in place of the old one": (
        {"txt": ['"site=1"', '"v=spf1 mx -all"']},
        [
            f'- {D}. IN TXT "v=spf1 mx -all"',
            f'+ {D}. 600 IN TXT "v=spf1 mx a:mx1.gateway.test a:mx2.gateway.test -all"',
        ],
    ),
    "two spf records are the owner's to make one of": (
        {"txt": ['"v=spf1 a -all"', '"V=SPF1 mx -all"']},
        [
            f'! {D}. 600 IN TXT "v=spf1 a:mx1.gateway.test a:mx2.gateway.test ~all"',
            '    there are 2 SPF records, which counts as none; make one of them: "V=SPF1 mx -all", "v=spf1 a -all"',
        ],
    ),
    "an spf record with strange characters is not copied": (
        {"txt": ['"v=spf1 a:\\195\\164.test -all"']},
        [
            f'! {D}. 600 IN TXT "v=spf1 a:mx1.gateway.test a:mx2.gateway.test ~all"',
            '    it has characters that do not belong in one; correct it by hand: "v=spf1 a:\\195\\164.test -all"',
        ],
    ),
    "a dmarc policy is the owner's": (
        {"dmarc": ['"v=DMARC1; p=reject"']},
        [
            f'! _dmarc.{D}. 600 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@{D}"',
            '    there is a policy already: "v=DMARC1; p=reject"',
        ],
    ),
    "another server for mail programs stays": (
        {"srv": ["0 1 993 imap.old.test."]},
        [
            f"! _imaps._tcp.{D}. 600 IN SRV 0 1 993 imap.gateway.test.",
            "    another server is named already: 0 1 993 imap.old.test.",
        ],
    ),
    "an alias of something advised is left": (
        {"dmarc": "policies.test"},
        [
            f'! _dmarc.{D}. 300 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@{D}"',
            (
                f"    _dmarc.{D} is an alias (CNAME) of policies.test, and nothing can stand beside one; "
                "what it should say must be said there"
            ),
        ],
    ),
    "an alias in place of the key stops all": (
        {"proof": "elsewhere.test"},
        [
            f"! {CHALLENGE}. 300 IN TXT {PROOF}",
            (
                f"    {CHALLENGE} is an alias (CNAME) of elsewhere.test, and nothing can stand beside one; "
                "take the CNAME away first"
            ),
        ],
    ),
    "mx of others stay, and it is said": (
        {"mx": ["1 mx.old.test.", "20 mx2.gateway.test."]},
        [
            f"+ {D}. 600 IN MX 10 mx1.gateway.test.",
            "    mail goes to these too, until they go (--only-our-mx): 1 mx.old.test.",
            f"  {D}. 600 IN MX 20 mx2.gateway.test.",
        ],
    ),
    "a null mx stops all": (
        {"mx": ["0 ."]},
        [
            f"! {D}. 600 IN MX 10 mx1.gateway.test.",
            (
                "    the record with the single dot says that the domain takes no mail (RFC 7505); "
                "with --only-our-mx it goes"
            ),
            f"+ {D}. 600 IN MX 20 mx2.gateway.test.",
        ],
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_others_have_there(case: str) -> None:
    records, expected = OTHERS[case]
    assert [line for line in lines(False, **records) if line not in ALL_NEW] == [
        line for line in expected if line not in ALL_NEW
    ]


def test_mx_of_others_go_when_that_is_asked_for() -> None:
    assert lines(only_our_mx=True, mx=["0 .", "1 mx.old.test.", "7 mx1.gateway.test."])[1:5] == [
        f"- {D}. IN MX 0 .",
        f"- {D}. IN MX 1 mx.old.test.",
        f"+ {D}. 600 IN MX 7 mx1.gateway.test.",
        f"+ {D}. 600 IN MX 20 mx2.gateway.test.",
    ]


def test_an_update_is_bound_to_what_was_read() -> None:
    steps, found = planned(txt=['"site=1"', '"v=spf1 mx -all"'])
    messages = [update.message(D, KEY) for update in updates_for(steps, found)]
    assert [[str(each) for each in message.prerequisite] for message in messages] == [
        [f"{CHALLENGE}. NONE TXT"],
        [f"{D}. NONE MX"],
        [f'{D}. 0 IN TXT "site=1"', f'{D}. 0 IN TXT "v=spf1 mx -all"'],
        [f"_dmarc.{D}. NONE TXT"],
        [f"_imaps._tcp.{D}. NONE SRV"],
    ]
    assert [str(each) for each in messages[2].update] == [
        f'{D}. 0 NONE TXT "v=spf1 mx -all"',
        f'{D}. 600 IN TXT "v=spf1 mx a:mx1.gateway.test a:mx2.gateway.test -all"',
    ]
    assert all(message.keyring is not None for message in messages)


def test_no_set_of_records_is_ever_deleted_as_a_whole() -> None:
    steps, found = planned(True, mx=["1 mx.old.test."], txt=['"v=spf1 mx -all"'], proof=['"x"'])
    updates = updates_for(steps, found)
    deleted = [rrset for update in updates for rrset in update.message(D, KEY).update if rrset.deleting is not None]
    assert [str(each) for each in deleted] == [f"{D}. 0 NONE MX 1 mx.old.test.", f'{D}. 0 NONE TXT "v=spf1 mx -all"']


def test_hostile_texts_are_shown_clean() -> None:
    steps, _ = planned(srv=["0 1 993 \\027[31m.test."], dmarc=['"v=DMARC1; \\226\\128\\174"'])
    assert all(line.isprintable() for step in steps for line in as_lines(step))
    assert as_json(steps[-1])["why"] == "another server is named already: 0 1 993 \\027[31m.test."
