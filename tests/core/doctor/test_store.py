"""What doctor says of a database on PostgreSQL, and what it says when there is none to be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import read
from gateway.doctor.checks import examine
from gateway.doctor.findings import Found
from gateway.doctor.store import _server
from gateway.store.engine import Server, parse_url
from gateway.store.upgrade import CORE, upgrade
from tests.core.gateways import CONFIG
from tests.databases import postgresql_only, query
from tests.postgresql import GUARDED, PostgresqlServer


async def store_of(directory: Path, url: str, more: str = "") -> list[Found]:
    """What doctor finds out about the store at `url`."""
    text = CONFIG.format(plugins="", directory=directory, url=url, tables=more, deadline=30.0)
    found = await examine(read(text + '[dns]\nnameservers = ["127.0.0.1:1"]\n'))
    return [(one.status, one.text) for one in found if one.check == "store"]


@postgresql_only
async def test_a_store_that_is_right(tmp_path: Path, store_url: str) -> None:
    upgrade(store_url, [CORE])
    answers, careless, ready = await store_of(tmp_path, store_url)
    assert answers[0] == "ok"
    assert answers[1].startswith("PostgreSQL 1")
    # Which is true of the server of these tests.
    assert careless[0] == "warning"
    assert careless[1].startswith(
        "the server has fsync = off, full_page_writes = off: when it goes down, commits are lost"
    )
    assert ready == ("ok", "the store has the right revisions and can be written")


@postgresql_only
async def test_a_store_without_tables_and_one_of_another_version(tmp_path: Path, store_url: str) -> None:
    assert (await store_of(tmp_path, store_url))[-1] == (
        "warning",
        "the store is empty; the first `stellwerk serve` makes its tables",
    )
    upgrade(store_url, [CORE])
    query(store_url, "UPDATE alembic_version_core SET version_num = 'core_9999'")
    status, text = (await store_of(tmp_path, store_url))[-1]
    assert status == "failed"
    assert "revision core_9999, which this version does not know" in text


@postgresql_only
async def test_a_standby(tmp_path: Path, store_url: str, postgresql_server: PostgresqlServer) -> None:
    upgrade(store_url, [CORE])
    name = parse_url(store_url).database
    postgresql_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        status, text = (await store_of(tmp_path, store_url))[-1]
    finally:
        postgresql_server.execute(f"ALTER DATABASE {name} RESET ALL")
    assert status == "failed"
    assert text.endswith(
        "takes no writes; the server is a standby or set to read-only; [store] url must name the primary"
    )


@postgresql_only
async def test_an_encoding_that_cannot_hold_every_address(
    tmp_path: Path, store_url: str, postgresql_server: PostgresqlServer
) -> None:
    postgresql_server.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        found = await store_of(tmp_path, postgresql_server.url("latin"))
    finally:
        postgresql_server.execute("DROP DATABASE latin WITH (FORCE)")
    (text,) = [text for status, text in found if status == "failed"]
    assert text.startswith("the database has the encoding LATIN1, which cannot hold every address; make it anew: ")
    assert text.endswith("createdb --encoding=UTF8 --template=template0")


@postgresql_only
async def test_c6_a_password_that_is_wrong(tmp_path: Path, postgresql_server: PostgresqlServer, store_url: str) -> None:
    url = postgresql_server.url(parse_url(store_url).database or "", user=GUARDED, password="verysecret")
    ((status, text),) = await store_of(tmp_path, url)
    assert status == "failed"
    assert 'password authentication failed for user "guarded"; correct the user and password' in text
    assert "verysecret" not in text


async def test_a_server_that_is_away(tmp_path: Path) -> None:
    ((status, text),) = await store_of(tmp_path, "postgresql://me:verysecret@127.0.0.1:1/mail")
    assert status == "failed"
    assert text.startswith("the store postgresql://me:***@127.0.0.1:1/mail is not available: ")
    assert text.endswith("Connection refused; start the server, or correct host and port of [store] url")


CLOCK = 1_800_000_000.0


@pytest.mark.parametrize(
    ("workers", "server", "said"),
    [
        (2, Server("15.3", "UTF8", 97, CLOCK, ()), []),
        (8, Server("15.3", "UTF8", 50, CLOCK, ()), ["allows 50 connections and this node takes up to 54"]),
        (1, Server("15.3", "UTF8", 97, CLOCK + 60, ()), ["are 60 seconds apart"]),
        (1, Server("15.3", "UTF8", 97, CLOCK, ("synchronous_commit",)), ["the server has synchronous_commit = off"]),
    ],
)
def test_what_is_doubtful_about_a_server(
    monkeypatch: pytest.MonkeyPatch, workers: int, server: Server, said: list[str]
) -> None:
    monkeypatch.setattr("time.time", lambda: CLOCK)
    warnings = [text for status, text in _server(server, workers) if status != "ok"]
    assert len(warnings) == len(said)
    assert all(expected in text for expected, text in zip(said, warnings, strict=True))
