"""The records an owner is asked to publish: what they are, and that every way to write them is valid."""

from __future__ import annotations

from dataclasses import replace

import dns.name
import dns.rdatatype
import dns.update
import dns.zone
import pytest
from dns.rdtypes.ANY.TXT import TXT

from gateway.domains.records import (
    LadderStep,
    Offer,
    Service,
    WantedRecord,
    as_nsupdate,
    as_panel,
    as_zone,
    dmarc_ladder,
    merged_spf,
    rdata,
    relative,
    unresolved,
    wanted,
)

OFFER = Offer(
    domain="customer.test",
    label="mailgw",
    scope="exact",
    token="k7x2q5c3v6b4n7m2j5h3g6f4d7s2a5p3",
    gateway="mx1.gateway.test",
    mx_hosts=("mx1.gateway.test", "mx2.gateway.test"),
    reports_to="postmaster@customer.test",
    services=(Service("submissions", "mail.gateway.test", 465),),
)


def test_what_is_asked_for() -> None:
    assert [(each.name, each.type, each.value, each.required) for each in wanted(OFFER)] == [
        (
            "_mailgw-challenge.customer.test",
            "TXT",
            "token=k7x2q5c3v6b4n7m2j5h3g6f4d7s2a5p3 gateway=mx1.gateway.test expiry=never",
            True,
        ),
        ("customer.test", "MX", "10 mx1.gateway.test.", True),
        ("customer.test", "MX", "20 mx2.gateway.test.", True),
        ("customer.test", "TXT", "v=spf1 a:mx1.gateway.test a:mx2.gateway.test ~all", False),
        ("_dmarc.customer.test", "TXT", "v=DMARC1; p=none; rua=mailto:postmaster@customer.test", False),
        ("_submissions._tcp.customer.test", "SRV", "0 1 465 mail.gateway.test.", False),
    ]
    assert all(each.why and each.ttl == 300 for each in wanted(OFFER))


def test_a_tree_has_a_label_of_its_own() -> None:
    assert wanted(replace(OFFER, scope="tree"))[0].name == "_mailgw-tree-challenge.customer.test"


@pytest.mark.parametrize(
    ("existing", "merged"),
    [
        ("", "v=spf1 include:spf.g.test ~all"),
        ("v=spf1 -all", "v=spf1 include:spf.g.test -all"),
        ("v=spf1 mx include:_spf.other.test ?all", "v=spf1 mx include:_spf.other.test include:spf.g.test ?all"),
        ("v=spf1 include:spf.g.test -all", "v=spf1 include:spf.g.test -all"),
        ("v=spf1 +Include:SPF.g.test -all", "v=spf1 +Include:SPF.g.test -all"),
        ("v=spf1 mx", "v=spf1 mx include:spf.g.test ~all"),
        ("v=spf1 redirect=_spf.other.test", "v=spf1 include:spf.g.test redirect=_spf.other.test"),
        ("v=spf1   ip4:192.0.2.1   -all ", "v=spf1 ip4:192.0.2.1 include:spf.g.test -all"),
        ("v=spf10 mx -all", "v=spf1 include:spf.g.test ~all"),
        ("google-site-verification=x", "v=spf1 include:spf.g.test ~all"),
    ],
)
def test_an_spf_record_keeps_what_its_owner_wrote(existing: str, merged: str) -> None:
    assert merged_spf(existing, ("include:spf.g.test",)) == merged
    assert merged_spf(merged, ("include:spf.g.test",)) == merged


def test_the_ladder_of_dmarc_never_refuses_before_two_weeks_of_reports() -> None:
    none, quarantine, reject = dmarc_ladder(OFFER)
    assert isinstance(none, LadderStep)
    assert ["p=none" in none.value, "p=quarantine" in quarantine.value, "p=reject" in reject.value] == [True] * 3
    assert "14 days" in quarantine.when
    assert "14 days" in reject.when


def test_a_zone_file_is_read_by_another_program_as_what_was_meant() -> None:
    records = (*wanted(OFFER), _long_text())
    zone = dns.zone.from_text(as_zone(records), origin="customer.test.", relativize=False, check_origin=False)
    for record in records:
        found = zone.find_rdataset(dns.name.from_text(record.name), record.type)
        assert found.ttl == 300
        texts = [each.to_text() for each in found]
        assert dns.rdata.from_text("IN", record.type, rdata(record)).to_text() in texts


def _long_text() -> WantedRecord:
    text = "".join(chr(33 + index % 90) for index in range(600)) + 'é"\\;'
    return WantedRecord("long.customer.test", "TXT", text, 300, False, "it is long")


def test_a_text_is_split_at_255_octets_and_joins_to_itself() -> None:
    record = _long_text()
    read = dns.rdata.from_text("IN", "TXT", rdata(record))
    assert isinstance(read, TXT)
    assert b"".join(read.strings) == record.value.encode()
    assert [len(piece) for piece in read.strings] == [255, 255, len(record.value.encode()) - 510]


def test_a_panel_gets_names_of_the_zone_and_no_dots() -> None:
    rows = as_panel(wanted(OFFER), "customer.test")
    assert [(row.name, row.type, row.priority, row.value) for row in rows][:3] == [
        ("_mailgw-challenge", "TXT", "", wanted(OFFER)[0].value),
        ("@", "MX", "10", "mx1.gateway.test"),
        ("@", "MX", "20", "mx2.gateway.test"),
    ]
    assert rows[-1].value == "0 1 465 mail.gateway.test"
    assert relative("sub.customer.test", "customer.test") == "sub"


def test_nsupdate_adds_single_records_and_takes_only_the_spf_record_it_replaces() -> None:
    records = wanted(replace(OFFER, existing_spf="v=spf1 mx -all"))
    lines = as_nsupdate(records, "customer.test").splitlines()
    assert (lines[0], lines[-1]) == ("zone customer.test.", "send")
    assert [line for line in lines if "delete" in line] == ['update delete customer.test. IN TXT "v=spf1 mx -all"']
    update = dns.update.UpdateMessage("customer.test.")
    for line in lines[1:-1]:
        words = line.split(" ", 6 if line.startswith("update add") else 5)
        if words[1] == "add":
            _, _, name, ttl, _, rdtype, value = words
            update.add(name, int(ttl), rdtype, value)
    assert len(update.update) == len(records)


def test_hosts_that_do_not_resolve_are_named() -> None:
    assert unresolved(wanted(OFFER), lambda host: host == "mx1.gateway.test") == (
        "mx2.gateway.test",
        "mail.gateway.test",
    )
