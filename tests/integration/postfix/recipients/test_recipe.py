"""The recipe recipients: a real Postfix that asks the directory whom to refuse, and who may send with which address."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.directory.mailboxes import ChangeMailbox, EndMailbox
from gateway.directory.members import AddMember, EndMember, Rights
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.recipe import parts
from gateway.postfix_recipes.recipients import AddressClass, Recipients
from tests.integration.directory_changes import change, person, sqlite_url, town
from tests.integration.dovecot.instance import PASSWORD, DovecotInstance
from tests.integration.gateway_process import GatewayProcess
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.postfix.recipe_pair import comparable
from tests.integration.waiting import until

pytestmark = [pytest.mark.server("postfix"), pytest.mark.slow]

_CONFIG = """\
plugins = []

[server]
hostname = "gw.example.test"
state_dir = "state"

[store]
url = "sqlite:///state/stellwerk.db"
auto_upgrade = true

[[listener]]
name = "mx"
address = "127.0.0.1:0"

[[listener]]
name = "lmtp"
protocol = "lmtp"
role = "filter"
address = "127.0.0.1:LMTP"
trusted_peers = ["127.0.0.1/32"]

[next_hop.mail]
kind = "maildir"
path = "mail/{domain}/{local}"

[hosted."static.test"]
mailboxes = ["gert"]

"""
SASL = Path(__file__).parents[4] / "contrib" / "dovecot" / "submission-sasl.txt"
# What Postfix logs while there is nobody to ask.
UNANSWERED = [
    r"warning: .*(?:connect to|read|write|socketmap).*127\.0\.0\.1:\d+",
    r"warning: socketmap:inet:.* lookup error",
    r"warning: .*:(?:domains|recipients|sender-logins).*(?:lookup|table|TEMP|search|error)",
    r"warning: problem talking to service rewrite",
    r"warning: (?:virtual_mailbox|relay)_\w+(?:: | lookup failure)",
]


@dataclass(frozen=True, slots=True)
class Front:
    """A Postfix with the recipe, and the gateway that it asks."""

    postfix: PostfixInstance
    gateway: GatewayProcess
    url: str
    socketmap: str
    printed: dict[str, str]

    async def rcpt(self, recipient: str, sender: str = "cleo@client.example", login: str = "") -> str:
        """What Postfix says to RCPT: code and enhanced code."""
        return await asyncio.to_thread(self._rcpt, recipient, sender, login)

    def _rcpt(self, recipient: str, sender: str, login: str) -> str:
        with smtplib.SMTP("127.0.0.1", self.postfix.smtp_port, "client.example", timeout=120) as connection:
            connection.ehlo()
            if login:
                connection.login(login, PASSWORD)
            connection.mail(sender)
            code, text = connection.rcpt(recipient)
            return f"{code} {text.decode().split()[0]}"

    async def doctor(self) -> list[tuple[str, str]]:
        """(status, finding) of what doctor says about the socketmap."""
        try:
            told = await self.gateway.command("doctor", "--json")
        except AssertionError as error:  # what a check of something else found wrong
            told = str(error).partition(":\n")[2]
        return [(one["status"], one["text"]) for one in json.loads(told) if one["check"] == "socketmap"]

    async def becomes(self, recipient: str, reply: str) -> None:
        """Wait until RCPT gets this reply."""

        async def said() -> bool:
            return await self.rcpt(recipient) == reply

        await until(said, f"RCPT {recipient} gets {reply}")


@asynccontextmanager
async def front(
    directory: Path, ports: PortReservation, postfix: PostfixInstance, wanted: Recipients, *, has_logins: bool = False
) -> AsyncIterator[Front]:
    """Start both, with the recipe as the command prints it for this gateway."""
    lmtp = ports.take()
    config = _CONFIG.replace("LMTP", str(lmtp)) + parts(wanted.render()).get("stellwerk.toml", "")
    gateway = GatewayProcess(directory, config)
    url = sqlite_url(directory)
    options = ("--address-class", wanted.address_class, "--maps", wanted.maps)
    if wanted.maps == "live":  # virtual(8) asks no socketmap
        postfix.set(virtual_transport=f"lmtp:[127.0.0.1]:{lmtp}")
    before = comparable(await postfix.configuration())
    try:
        await gateway.start()
        await change(url, town("anna", "bo"))
        printed = parts(await gateway.command("postfix", "recipe", "recipients", *options))
        if wanted.maps == "files":
            (postfix.etc / "stellwerk").mkdir()
            await gateway.command("postfix", "maps", str(postfix.etc / "stellwerk"))
        await postfix.apply(printed)
        await postfix.apply(printed)  # as by mistake; it adds nothing
        assert await postfix.check() == ""
        await postfix.start()
        yield Front(postfix, gateway, url, wanted.socketmap, printed)
        await postfix.paste(printed["back"] + parts(Off().render())["commands"])
        if not has_logins:
            assert comparable(await postfix.configuration()) == before
    finally:
        await postfix.stop()
        await gateway.stop()


def wanted(ports: PortReservation, address_class: AddressClass = "virtual") -> Recipients:
    return Recipients(f"127.0.0.1:{ports.take()}", address_class)


@pytest.mark.parametrize("address_class", ["virtual", "relay"])
async def test_live(
    tmp_path: Path, ports: PortReservation, postfix: PostfixInstance, address_class: AddressClass
) -> None:
    postfix.write_mailboxes(["old"])
    postfix.set(relay_domains="")
    async with front(tmp_path, ports, postfix, wanted(ports, address_class)) as running:
        expected = {
            "anna@acme.test": "250 2.1.5",
            "Anna+lists@ACME.test": "250 2.1.5",
            "postmaster@acme.test": "250 2.1.5",
            "gert@static.test": "250 2.1.5",
            "old@example.test": "250 2.1.5",  # Postfix's own, as before
            "nobody@acme.test": "550 5.1.1",
            "nobody@static.test": "550 5.1.1",
            "nobody@example.test": "550 5.1.1",
        }
        assert {address: await running.rcpt(address) for address in expected} == expected

        assert await running.doctor() == [("ok", f"the socketmap at {running.socketmap} answers Postfix")]

        assert await running.rcpt("new@acme.test") == "550 5.1.1"
        await change(running.url, person("new"))
        await running.becomes("new@acme.test", "250 2.1.5")
        await change(running.url, [ChangeMailbox("new@acme.test", {"receives": 0}), EndMailbox("bo@acme.test")])
        await running.becomes("new@acme.test", "550 5.1.1")
        await running.becomes("bo@acme.test", "550 5.1.1")
        if address_class == "virtual":
            await postfix.inject(b"Subject: hello\r\n\r\nhello\r\n", "cleo@client.example", ["anna@acme.test"])
            await until(lambda: list(tmp_path.glob("mail/acme.test/anna/new/*")), "the gateway has delivered")
        postfix.assert_quiet_log()

        await running.gateway.stop()
        postfix.expected_trouble += UNANSWERED
        for address in ("anna@acme.test", "nobody@acme.test"):
            assert (await running.rcpt(address))[:5] == "451 4"
        await running.gateway.start()
        await running.becomes("anna@acme.test", "250 2.1.5")
        await running.becomes("nobody@acme.test", "550 5.1.1")


async def test_reloads_of_the_gateway_are_not_noticed(
    tmp_path: Path, ports: PortReservation, postfix: PostfixInstance
) -> None:
    """Connections that Postfix keeps are closed by the old generation; what it asks next the new one answers."""
    async with front(tmp_path, ports, postfix, wanted(ports)) as running:
        for number in range(3):
            assert await running.rcpt("anna@acme.test") == "250 2.1.5"
            await running.gateway.reload()
            assert await running.rcpt(f"nobody{number}@acme.test") == "550 5.1.1"
        postfix.assert_quiet_log()


async def test_a_broken_store_defers(tmp_path: Path, ports: PortReservation, postfix: PostfixInstance) -> None:
    """Known or unknown: nobody is refused by a directory that cannot be read."""
    async with front(tmp_path, ports, postfix, wanted(ports)) as running:
        await running.becomes("nobody@acme.test", "550 5.1.1")
        postfix.expected_trouble += UNANSWERED
        _break(tmp_path / "state" / "stellwerk.db")
        await running.becomes("nobody@acme.test", "451 4.3.0")
        assert await running.rcpt("other@acme.test") == "451 4.3.0"
        found = await running.doctor()
        assert [status for status, _ in found] == ["failed"] * 3
        assert f'the socketmap at {running.socketmap} says "TEMP ' in found[0][1]
        assert await running.rcpt("anna@acme.test") == "451 4.3.0"


def _break(database: Path) -> None:
    """Overwrite it in place, with its journal: every page is garbage for whoever has it open, too."""
    for file in (database, *database.parent.glob(f"{database.name}-*")):
        size = file.stat().st_size
        with file.open("r+b") as opened:
            opened.write((b"\0" if file.name.endswith("-shm") else b"x") * size)


async def test_files(tmp_path: Path, ports: PortReservation, postfix: PostfixInstance) -> None:
    postfix.set(recipient_delimiter="+")
    async with front(tmp_path, ports, postfix, Recipients(maps="files")) as running:
        for address, reply in {
            "anna@acme.test": "250 2.1.5",
            "anna+lists@acme.test": "250 2.1.5",
            "gert@static.test": "250 2.1.5",
            "nobody@acme.test": "550 5.1.1",
        }.items():
            assert await running.rcpt(address) == reply
        await running.gateway.stop()
        assert await running.rcpt("anna@acme.test") == "250 2.1.5"
        await postfix.inject(b"Subject: hello\r\n\r\nhello\r\n", "cleo@client.example", ["anna+lists@acme.test"])
        await until(lambda: list(postfix.base.glob("mail/acme.test/anna/new/*")), "virtual(8) has delivered")
        await change(running.url, person("new"))
        told = await running.gateway.command("postfix", "maps", str(postfix.etc / "stellwerk"))
        assert "/recipients: 8 entries, written" in told
        assert "/domains: 2 entries, as before" in told
        await postfix.reload()
        await running.becomes("new@acme.test", "250 2.1.5")


@pytest.mark.server("dovecot")
async def test_sender_logins(tmp_path: Path, ports: PortReservation, postfix: PostfixInstance) -> None:
    """Dovecot checks the login, Postfix asks whose address it is."""
    sasl = parts(SASL.read_text())["dovecot.conf"].replace("/var/spool/postfix", f"{postfix.base}/queue")
    dovecot = DovecotInstance({"anna@acme.test": 0, "bo@acme.test": 0}, sasl)
    private = postfix.base / "queue" / "private"
    private.mkdir(mode=0o700)
    shutil.chown(private, "postfix")
    try:
        await dovecot.start()
        async with front(tmp_path, ports, postfix, wanted(ports), has_logins=True) as running:
            [line] = re.findall(r"^# +(postconf -P .*sender_login_maps.*)$", running.printed["apply"], re.MULTILINE)
            service = f"postconf -P {postfix.front}/"
            await postfix.paste(
                line.replace("submission/inet", postfix.front)
                + f"\n{service}smtpd_sender_restrictions=reject_sender_login_mismatch"
                f"\n{service}smtpd_sasl_auth_enable=yes\n{service}smtpd_sasl_type=dovecot"
                f"\n{service}smtpd_sasl_path=private/auth"
            )
            await postfix.reload()
            anna, bo, team = (f"{name}@acme.test" for name in ("anna", "bo", "team"))

            async def says(sender: str, login: str) -> str:
                return await running.rcpt(anna, sender, login)

            assert await says(anna, anna) == "250 2.1.5"
            assert await says("anna+lists@acme.test", anna) == "250 2.1.5"
            assert await says(bo, anna) == "553 5.7.1"
            assert await says(team, bo) == "553 5.7.1"
            assert await says("cleo@client.example", bo) == "553 5.7.1"
            assert await says(anna, "") == "553 5.7.1"  # a colleague's address without a login
            assert await says("cleo@client.example", "") == "250 2.1.5"

            async def may_send_as_team(expected: str) -> None:
                async def said() -> bool:
                    return await says(team, bo) == expected

                await until(said, f"bo gets {expected} as team")

            await change(running.url, [AddMember(team, bo, Rights(send_as=True))])
            await may_send_as_team("250 2.1.5")
            assert await says(team, anna) == "553 5.7.1"
            await change(running.url, [EndMember(team, bo), AddMember(team, bo, Rights(send_on_behalf=True))])
            await may_send_as_team("553 5.7.1")
            postfix.assert_quiet_log()
    finally:
        await dovecot.stop()
        dovecot.remove()
