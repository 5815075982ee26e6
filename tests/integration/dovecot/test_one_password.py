"""One password for IMAP and SMTP: a gateway, and a Dovecot with what `stellwerk dovecot recipe` prints.

Every test asks both protocols, on both databases.
"""

from __future__ import annotations

import asyncio
import imaplib
import os
import smtplib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from gateway.cli.dovecot import dovecot as dovecot_command
from gateway.directory.cache import STALE_SECONDS
from gateway.directory.change import Command
from gateway.directory.leaving import DeactivatePerson
from gateway.directory.passwords import hash_password
from gateway.directory.people import MOST_APP_PASSWORDS, AddAppPassword, EndAppPassword, SetPassword
from gateway.postfix_recipes.recipe import parts
from gateway.store.upgrade import CORE, upgrade
from tests.integration.directory_changes import change, town
from tests.integration.dovecot.instance import DovecotInstance
from tests.integration.gateway_process import GatewayProcess
from tests.integration.ports import PortReservation, reserved_ports
from tests.integration.postfix.instance import CommandFailed, checked

if TYPE_CHECKING:
    from tests.postgresql import PostgresqlServer

pytestmark = [pytest.mark.server("dovecot-imapd", "dovecot-sqlite", "dovecot-pgsql"), pytest.mark.slow]

ANNA = "anna@acme.test"
BO = "bo@acme.test"
NOBODY = 65534
_CONFIG = """\
plugins = []

[server]
hostname = "gw.example.test"
state_dir = "state"
{account}

[store]
url = "{url}"

[[listener]]
name = "submission"
role = "submission"
address = "127.0.0.1:{port}"
auth_without_tls = true

[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
"""
_IMAP = """
protocols = imap
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
auth_failure_delay = 0
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """A Dovecot that reads the store at `url`, and the ports at which people log in, by protocol."""

    url: str
    dovecot: DovecotInstance
    ports: Mapping[str, int]

    async def logs_in(self, address: str, password: str) -> set[str]:
        """By which protocols they are let in."""
        found = set()
        for name, port in self.ports.items():
            if await asyncio.to_thread(PROTOCOLS[name], port, address, password):
                found.add(name)
        return found

    async def change(self, *commands: Command[Any]) -> list[Any]:
        """Carry these out, and give the gateway the second that it may take to see it. (Dovecot sees it at once.)"""
        found = await change(self.url, commands)
        await asyncio.sleep(STALE_SECONDS)
        return found


def imap(port: int, address: str, password: str) -> bool:
    """Whether IMAP lets them in, and opens their inbox."""
    with imaplib.IMAP4("127.0.0.1", port, timeout=120) as connection:
        try:
            connection.authenticate("PLAIN", lambda _: f"\0{address}\0{password}".encode())
        except imaplib.IMAP4.error as error:
            if "AUTHENTICATIONFAILED" in str(error):
                return False
            raise
        assert connection.select()[0] == "OK"
        return True


def smtp(port: int, address: str, password: str) -> bool:
    """Whether submission lets them in."""
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=120) as connection:
        connection.ehlo()
        connection.user, connection.password = address, password
        try:
            connection.auth("PLAIN", connection.auth_plain)
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code in (501, 535):
                return False
            raise
        return True


PROTOCOLS: Mapping[str, Callable[[int, str, str], bool]] = {"imap": imap, "smtp": smtp}
ALL = set(PROTOCOLS)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server("postgresql"))])
async def installation(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    with reserved_ports() as ports:
        if request.param == "sqlite":
            async with running("", tmp_path, ports, lambda _: None) as found:
                yield found
            return
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        with server.database() as url:
            database = url.rpartition("/")[2]
            try:
                async with running(url, tmp_path, ports, lambda sql: server.execute(sql, database)) as found:
                    yield found
            finally:
                server.execute("DROP OWNED BY dovecot; DROP ROLE dovecot", database)


@asynccontextmanager
async def running(
    url: str, directory: Path, ports: PortReservation, execute: Callable[[str], None]
) -> AsyncIterator[Installation]:
    """Dovecot with the command's own text, accounts and paths aside. Anna's password is "first"; Bo has none."""
    dovecot = DovecotInstance(None)
    gateway: GatewayProcess | None = None
    try:
        store = dovecot.base / "store"
        store.mkdir()
        url = url or f"sqlite:///{store}/stellwerk.db"
        await asyncio.to_thread(upgrade, url, [CORE])
        await change(url, [*town("anna", "bo"), SetPassword(ANNA, hash_password("first"))])
        for path in (store, *store.iterdir()):
            os.chown(path, NOBODY, NOBODY)  # whom the gateway runs as
        smtp_port, imap_port = ports.take(), ports.take()
        config = directory / "printed.toml"
        config.write_text(_CONFIG.format(url=url, port=smtp_port, account='user = "nobody"'))
        printed = parts(CliRunner().invoke(dovecot_command, ["recipe", "--config", str(config)]).output)
        gateway = GatewayProcess(directory, _CONFIG.format(url=url, port=smtp_port, account=""))
        execute(printed.get("postgresql", ""))
        sql = dovecot.base / "stellwerk-sql.conf.ext"
        sql.write_text(printed["dovecot-sql.conf.ext"])
        await checked("sh", "-euc", printed["commands"].replace("/etc/dovecot", str(dovecot.base)))
        lines = printed["dovecot.conf"].replace("/etc/dovecot", str(dovecot.base))
        lines = lines.replace(
            "uid=vmail gid=vmail home=/var/vmail", f"uid={NOBODY} gid={NOBODY} home={dovecot.base}/mail"
        )
        dovecot.append(_IMAP.format(port=imap_port) + lines)
        await dovecot.start()
        await gateway.start()
        yield Installation(url, dovecot, {"imap": imap_port, "smtp": smtp_port})
        assert dovecot.trouble() == [], dovecot.log
    finally:
        if gateway is not None:
            await gateway.stop()
        await dovecot.stop()
        dovecot.remove()


async def test_a_changed_password_counts_at_once(installation: Installation) -> None:
    assert await installation.logs_in(ANNA, "first") == ALL
    assert await installation.logs_in("Anna@ACME.test", "first") == ALL
    await installation.change(SetPassword(ANNA, hash_password("second")))
    assert await installation.logs_in(ANNA, "first") == set()
    assert await installation.logs_in(ANNA, "second") == ALL


async def test_who_is_not_let_in(installation: Installation) -> None:
    refused = {
        "no password is set": (BO, "first"),
        "nothing is typed": (ANNA, ""),
        "nobody": ("nobody@acme.test", "first"),
        "a shared mailbox": ("team@acme.test", "first"),
        "a query": ("x' OR '1'='1", "first"),
        "a variable": ("%u@acme.test", "first"),
    }
    found = {what: await installation.logs_in(*credentials) for what, credentials in refused.items()}
    assert [what for what, by in found.items() if by] == []


async def test_each_app_password_works_until_it_is_ended(installation: Installation) -> None:
    texts = [f"app {number}" for number in range(MOST_APP_PASSWORDS)]
    added = await installation.change(*(AddAppPassword(ANNA, text, hash_password(text)) for text in texts))
    assert [text for text in ["first", *texts] if await installation.logs_in(ANNA, text) != ALL] == []
    await installation.change(EndAppPassword(ANNA, added[2]))
    assert [text for text in ["first", *texts] if await installation.logs_in(ANNA, text) != ALL] == [texts[2]]
    # the own one is not needed for it, and never was
    await installation.change(SetPassword(ANNA, ""))
    assert await installation.logs_in(ANNA, "first") == set()
    assert await installation.logs_in(ANNA, texts[0]) == ALL


async def test_whoever_has_left_is_refused(installation: Installation) -> None:
    await installation.change(AddAppPassword(ANNA, "phone", hash_password("phone")), DeactivatePerson(ANNA))
    for password in ("first", "phone"):
        assert await installation.logs_in(ANNA, password) == set()


async def test_hashes_of_other_parameters_are_read(installation: Installation) -> None:
    """Those of argon2-cffi's defaults, for one, which have four lanes."""
    await installation.change(SetPassword(ANNA, PasswordHasher().hash("four lanes")))
    assert await installation.logs_in(ANNA, "four lanes") == ALL


async def test_mail_for_a_shared_mailbox_has_a_place(installation: Installation) -> None:
    base = installation.dovecot.base
    told = await checked("doveadm", "-c", f"{base}/dovecot.conf", "user", "-f", "home", "team@acme.test")
    assert told.strip() == f"{base}/mail/acme.test/team"
    with pytest.raises(CommandFailed):
        await checked("doveadm", "-c", f"{base}/dovecot.conf", "user", "nobody@acme.test")
    everybody = await checked("doveadm", "-c", f"{base}/dovecot.conf", "user", "*")
    assert sorted(everybody.split()) == [ANNA, BO, "team@acme.test"]


@pytest.mark.parametrize("installation", [pytest.param("postgresql", marks=pytest.mark.server("postgresql"))],
                         indirect=True)  # fmt: skip
async def test_the_role_sees_these_columns_only(installation: Installation) -> None:
    url = make_url(installation.url).set(drivername="postgresql+psycopg", username="dovecot")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT address FROM person")).all()
    for statement in ("SELECT phone FROM person", "SELECT 1 FROM audit_entry", "UPDATE person SET password = ''"):
        with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(statement))
