"""`stellwerk jobs`: the listing, and what retry and drop say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.jobs import outbox
from gateway.jobs.outbox import Finish, add_write
from gateway.routing.effects import Job
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade
from tests.core.cli.in_process import config_file, run
from tests.core.gateways import NOW


@pytest.fixture
def config(tmp_path: Path, store_url: str) -> str:
    upgrade(store_url, [CORE])

    async def fill() -> None:
        store = Store.open(store_url)
        await store.write([add_write("j1", Job("send_mail", {}, "k1", "core", b"x"), NOW)])
        await store.write([add_write("j2", Job("note", {}, "k2", "crm"), NOW)])
        await store.write([Write(outbox.finish, Finish("j1", NOW, "550 5.1.1 no\x1b[31m", dead=True))])
        await asyncio.to_thread(store.close)

    asyncio.run(fill())
    return str(config_file(tmp_path))


def test_the_listing(config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(capsys, monkeypatch, "jobs", "--config", config)
    assert ran.status == 0
    first, second = ran.output.splitlines()
    assert first.split("\t")[:3] == ["j1", "dead", "core.send_mail"]
    assert "550 5.1.1 no\\x1b[31m" in first
    assert second.split("\t")[:3] == ["j2", "due", "crm.note"]
    ran = run(capsys, monkeypatch, "jobs", "--config", config, "--state", "dead", "--json")
    assert [job["id"] for job in json.loads(ran.output)] == ["j1"]


def test_retry_and_drop(config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(capsys, monkeypatch, "jobs", "--config", config, "retry", "j1")
    assert (ran.status, ran.errors) == (0, "")
    assert "job j1 (core.send_mail) is due now" in ran.output
    ran = run(capsys, monkeypatch, "jobs", "drop", "--yes", "j2", "--config", config)
    assert "job j2 (crm.note) is deleted" in ran.output
    ran = run(capsys, monkeypatch, "jobs", "--config", config, "--json")
    assert [(job["id"], job["state"]) for job in json.loads(ran.output)] == [("j1", "failed")]


def test_a_job_that_is_not_there(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(capsys, monkeypatch, "jobs", "--config", config, "retry", "j9")
    assert (ran.status, ran.errors) == (1, "there is no open job j9; stellwerk jobs lists them\n")


def test_without_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(capsys, monkeypatch, "jobs", "--config", str(config_file(tmp_path)))
    assert ran.status == 1
    assert "stellwerk db upgrade" in ran.errors
    assert "Traceback" not in ran.errors
