"""What docs/admin/postgresql.md tells an admin to type and to write works on a real server."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.upgrade import CORE, status, upgrade
from tests.postgresql import PostgresqlServer

pytestmark = pytest.mark.server("postgresql")

PAGE = (Path(__file__).parents[3] / "docs/admin/postgresql.md").read_text(encoding="utf-8")
URLS = sorted(set(re.findall(r"postgresql://[^`\"]+", PAGE)))


@pytest.fixture(scope="module")
def prepared(postgresql_server: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """After the commands of "Set-up", but for the prompt for a password."""
    commands = re.findall(r"^sudo -u postgres (create\w+ .*)$", PAGE, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["createuser", "createdb"]
    for command in commands:
        postgresql_server.run_client(*shlex.split(command.replace(" --pwprompt", "")))
    yield postgresql_server
    postgresql_server.execute("DROP DATABASE stellwerk WITH (FORCE)")
    postgresql_server.execute("DROP ROLE stellwerk")


@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
async def test_every_url_of_the_page(prepared: PostgresqlServer, url: str) -> None:
    there = f"127.0.0.1:{prepared.port}"
    for written, here in (
        # There is no certificate, and the first of two hosts is down.
        ("?sslmode=verify-full&sslrootcert=system", "?sslmode=prefer"),
        ("db.example.org", there),
        ("db1.example.org:5432", "127.0.0.1:1"),
        ("db2.example.org:5432", there),
        ("host=/var/run/postgresql", f"host={prepared.directory}&port={prepared.port}"),
    ):
        url = url.replace(written, here)
    assert "example.org" not in url
    await asyncio.to_thread(upgrade, url, [CORE])
    assert [owner.ready for owner in await asyncio.to_thread(status, url, [CORE])] == [True]
