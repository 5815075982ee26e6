"""The out-of-office text on mail's way: who is answered, once in seven days, and what explain shows of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.delivery.transport import Outcome
from gateway.directory.actor import command_line
from gateway.directory.change import Change, Command, carry_out, one
from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddAlias, AddMailbox, find_mailbox
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.tables import auto_answer, out_of_office
from gateway.explain import Question, explain
from gateway.mail.address import Address
from gateway.store.schema import job
from tests.core.gateways import NOW, Running, running

DAY = 86_400.0
MESSAGE = b"From: out@sender.test\r\nTo: team@acme.test\r\nSubject: hello\r\nMessage-ID: <%d@x>\r\n\r\nHello.\r\n"


@dataclass(frozen=True)
class Away:
    """team@acme.test is away from the first time until before the second."""

    begins: float | None = None
    ends: float | None = None

    def run(self, change: Change, /) -> None:
        box = find_mailbox(change, "team@acme.test")
        row = {"mailbox_id": box.row.id, "subject": "", "text": "Away.", "begins": self.begins, "ends": self.ends}
        if one(change, out_of_office, mailbox_id=box.row.id) is None:
            change.add(out_of_office, row, name="team@acme.test", organisation_id=box.organisation_id)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as gateway:
        for command in (
            AddOrganisation("acme"),
            AddContext("acme", "sales"),
            TrustDomain("acme.test", organisation="acme"),
            AddMailbox("team@acme.test", "acme", "sales", "shared", display_name="Acme Sales"),
            AddAlias("info@acme.test", "team@acme.test"),
        ):
            await do(gateway, command)
        yield gateway


async def do(gateway: Running, command: Command[object]) -> None:
    await carry_out(gateway.gateway.store, command_line("tests"), command, lambda: NOW)
    await gateway.gateway.directory.version.look()


async def answers(gateway: Running) -> list[tuple[str, bytes]]:
    rows = await gateway.gateway.store.read(select(job).where(job.c.kind == "send_mail").order_by(job.c.created_at))
    return [(json.loads(row.payload)["recipients"][0], row.content) for row in rows]


async def test_one_answer_to_one_sender_in_seven_days(gateway: Running) -> None:
    await do(gateway, Away())
    for number in range(3):
        assert (await gateway.send("info@acme.test", raw=MESSAGE % number)).code == 250
    [(to, content)] = await answers(gateway)
    assert to == "out@sender.test"
    assert b"\r\nIn-Reply-To: <0@x>\r\n" in content
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in content

    gateway.clock.now += 7 * DAY - 1
    await gateway.send("team@acme.test", raw=MESSAGE % 4)
    assert len(await answers(gateway)) == 1
    gateway.clock.now += 1
    await gateway.send("team@acme.test", raw=MESSAGE % 5)
    assert len(await answers(gateway)) == 2
    [row] = await gateway.gateway.store.read(select(auto_answer))
    assert row.at == gateway.clock.now


@pytest.mark.parametrize(
    ("begins", "ends", "answered"),
    [(None, None, 1), (NOW, None, 1), (NOW + 1, None, 0), (None, NOW + 1, 1), (None, NOW, 0)],
)
async def test_from_and_to(gateway: Running, begins: float | None, ends: float | None, answered: int) -> None:
    await do(gateway, Away(begins, ends))
    await gateway.send("team@acme.test", raw=MESSAGE % 1)
    assert len(await answers(gateway)) == answered


async def test_a_message_is_answered_when_it_was_taken(gateway: Running) -> None:
    await do(gateway, Away())
    gateway.mail.answer("team@acme.test", Outcome.DEFERRED)
    assert (await gateway.send("team@acme.test", raw=MESSAGE % 1)).code == 450
    [answer] = await gateway.jobs()
    assert answer.due_at > NOW + DAY
    assert (await gateway.send("team@acme.test", raw=MESSAGE % 1)).code == 250
    [answer] = await gateway.jobs()
    assert answer.due_at == NOW


async def test_explain_shows_the_answer_and_sends_none(gateway: Running) -> None:
    await do(gateway, Away())
    question = Question(Address.parse("out@sender.test"), ["info@acme.test"], MESSAGE % 1)
    told = await explain(gateway.gateway, question)
    assert {"event": "out of office", "mailbox": "team@acme.test", "answer": "to out@sender.test"} in told.events
    assert told.plan is not None
    assert [planned.kind for planned in told.plan.jobs] == ["send_mail"]
    assert await answers(gateway) == []
