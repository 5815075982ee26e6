"""What owners and operators are mailed: every event, in both languages, and nothing of a stranger's DNS in control."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import select

from gateway.directory.tables import domain
from gateway.domains.claims import ClaimDomain
from gateway.domains.facts import DAY, Observation
from gateway.domains.looks import RecordLook, record_look
from gateway.domains.notices import Notices
from gateway.domains.rows import standing_of, with_observations
from gateway.domains.showing import find_claim
from gateway.domains.states import Event, EventKind
from gateway.store.schema import job
from tests.core.directory.conftest import OPERATOR, Kept
from tests.core.domains.claiming import NAME, OWNER, claimed, look, row
from tests.core.domains.installation import installation

KINDS = get_args(EventKind)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"parked"}))
async def test_every_event_has_its_words(kept: Kept, tmp_path: Path, kind: EventKind, language: str) -> None:
    notices = Notices(installation(tmp_path, language))
    await claimed(kept, "acme")
    await look(kept, "acme", "pass", "pass")
    found = (await find_claim(kept.store, OPERATOR, NAME)).row
    letter = notices.letter(found, standing_of(found), Event(kind, 7, "both"))
    assert letter.subject.startswith(f"{NAME}: ")
    assert letter.text.strip()
    assert max(map(len, letter.text.splitlines())) <= 110
    other = Notices(installation(tmp_path, "de" if language == "en" else "en"))
    assert other.letter(found, standing_of(found), Event(kind, 7, "both")).text != letter.text


async def test_whoever_must_repair_something_is_told_what_to_enter_and_what_was_seen(
    kept: Kept, tmp_path: Path
) -> None:
    await claimed(kept, "acme")
    await look(kept, "acme", "pass", "pass")
    hostile = "v=spf1 \x1b[31m\u202e\r\nSubject: x"
    seen = with_observations(
        "[]",
        [
            {
                "at": kept.now,
                "server": "ns1.host.test",
                "name": f"_x.{NAME}",
                "type": "TXT",
                "rcode": "NOERROR",
                "texts": [hostile],
            }
        ],
    )
    await kept.undo(domain, (await row(kept, "acme"))["id"], observations=seen)
    found = (await find_claim(kept.store, OPERATOR, NAME)).row
    text = Notices(installation(tmp_path)).letter(found, standing_of(found), Event("grace", cause="ownership")).text
    assert found.token in text
    assert "_mailgw-challenge.customer.test" in text
    assert "10 mx1.gateway.test." in text
    assert "ns1.host.test: _x.customer.test TXT: v=spf1 \\x1b[31m\\u202e\\r\\nSubject: x" in text


async def test_an_event_is_one_mail_to_each_contact_in_the_transaction_of_the_change(
    kept: Kept, tmp_path: Path
) -> None:
    notices = Notices(installation(tmp_path))
    await claimed(kept, "acme")
    contacts = "a@elsewhere.test b@elsewhere.test"
    await kept.undo(domain, (await row(kept, "acme"))["id"], contacts=contacts)
    await look(kept, "acme", "pass", tell=notices)
    rows = await kept.rows(select(job))
    told = [message_from_bytes(each["content"], policy=default) for each in rows]
    assert sorted(str(each["To"]) for each in told) == contacts.split()
    assert {str(each["Subject"]) for each in told} == {f"{NAME}: the domain is proven"}
    assert {str(each["Auto-Submitted"]) for each in told} == {"auto-generated"}
    assert all(json.loads(each["payload"])["sender"] == "" for each in rows)


async def test_the_operator_hears_of_frozen_and_disputed_domains_and_of_names_on_hold(
    kept: Kept, tmp_path: Path
) -> None:
    notices = Notices(installation(tmp_path))
    await claimed(kept, "acme", "other")
    await look(kept, "acme", "pass")
    await look(kept, "other", "pass", tell=notices)
    await kept.do(ClaimDomain("github.io", "acme", OWNER, held=notices.held))
    told = [message_from_bytes(each["content"], policy=default) for each in await kept.rows(select(job))]
    assert sorted(str(each["Subject"]) for each in told if each["To"] == "operator@gateway.test") == [
        "customer.test: two organisations claim it",
        "github.io: a claim waits for you",
    ]
    assert sum(each["To"] == OWNER[0] for each in told) == 2  # both sides of the dispute have the same contact here


async def test_a_look_that_is_overtaken_leaves_no_mail(kept: Kept, tmp_path: Path) -> None:
    await claimed(kept, "acme")
    before = await row(kept, "acme")
    await kept.undo(domain, before["id"], version=before["version"] + 5)
    seen = Observation(kept.now + DAY, "pass", "pass", before["token_issued_at"], sure=True)
    asked = RecordLook(before["id"], before["version"], seen, 1, tell=Notices(installation(tmp_path)))
    assert not (await record_look(kept.store, asked)).counted
    assert await kept.rows(select(job)) == []
