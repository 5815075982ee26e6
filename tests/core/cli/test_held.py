"""`stellwerk held`: the listing, one message, and what release and discard say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.jobs.held import HeldMail
from gateway.store.schema import job
from gateway.store.store import Store, Write, insert
from gateway.store.upgrade import CORE, upgrade
from tests.core.cli.in_process import config_file, run
from tests.core.gateways import NOW

CONTENT = b"Received: from x\r\n\tby y\r\nSubject: odd \x1b[31m\r\n\r\nbody\r\n"


@pytest.fixture
def held(tmp_path: Path, store_url: str) -> tuple[str, str]:
    """The configuration, and the id of the one message that is held."""
    upgrade(store_url, [CORE])
    mail = HeldMail("t1", "out@sender.test", "team@example.test", "asks for money", "rule 3", "guard", False, CONTENT)
    row = mail.row("e1", "team@example.test:0", NOW)

    async def fill() -> None:
        store = Store.open(store_url)
        await store.write([Write(insert(job), row)])
        await asyncio.to_thread(store.close)

    asyncio.run(fill())
    return str(config_file(tmp_path)), row["id"]


def test_the_listing(
    held: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, job_id = held
    ran = run(capsys, monkeypatch, "held", "list", "--config", config)
    assert (ran.status, ran.errors) == (0, "")
    (line,) = ran.output.splitlines()
    assert line.split("\t") == [
        job_id, "2027-01-15 08:00:00Z", "out@sender.test", "team@example.test", str(len(CONTENT)), "guard", "rule 3",
        "asks for money",
    ]  # fmt: skip
    (told,) = json.loads(run(capsys, monkeypatch, "held", "list", "--config", config, "--json").output)
    assert (told["id"], told["since"], told["transaction"]) == (job_id, NOW, "t1")
    ran = run(capsys, monkeypatch, "jobs", "--config", config)
    assert ran.output.split("\t")[:3] == [job_id, "held", "core.send_mail"]


def test_one_message(
    held: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, job_id = held
    shown = run(capsys, monkeypatch, "held", "show", "--config", config, job_id).output
    assert "asks for money" in shown
    assert "Subject: odd \\x1b[31m" in shown
    assert "body" not in shown
    told = json.loads(run(capsys, monkeypatch, "held", "show", "--config", config, "--json", job_id).output)
    assert told["header"].startswith("Received: from x\r\n\tby y")


@pytest.mark.parametrize(
    ("decision", "state"), [(("release",), "due"), (("discard", "--yes"), "done")], ids=["release", "discard"]
)
def test_a_decision_is_made_once(
    held: tuple[str, str],
    decision: tuple[str, ...],
    state: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, job_id = held
    arguments = ("held", *decision, "--config", config, job_id)
    tried = run(capsys, monkeypatch, *arguments, "--dry-run")
    assert (tried.status, f"would: mail.{decision[0]} team@example.test" in tried.output) == (0, True)
    ran = run(capsys, monkeypatch, *arguments)
    assert (ran.status, ran.errors) == (0, "")
    assert ran.output.startswith(f"mail.{decision[0]} team@example.test: sender out@sender.test")
    ran = run(capsys, monkeypatch, *arguments)
    assert (ran.status, ran.errors) == (
        1,
        f'there is no held message "{job_id}"; see what is held: stellwerk held list\n',
    )
    listed = json.loads(run(capsys, monkeypatch, "jobs", "--config", config, "--json").output)
    assert [each["state"] for each in listed] == ([state] if state != "done" else [])


@pytest.mark.parametrize("change", ["retry", "drop"])
def test_the_outbox_leaves_it_alone(
    held: tuple[str, str], change: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, job_id = held
    yes = ["--yes"] if change == "drop" else []
    ran = run(capsys, monkeypatch, "jobs", "--config", config, change, *yes, job_id)
    assert ran.status == 1
    assert ran.errors == f"job {job_id} is held mail: stellwerk held release {job_id}, or held discard\n"
