"""The recipe submission in a real Postfix, with Dovecot checking the logins and swaks and smtplib logging in."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from gateway.postfix_recipes.recipe import parts
from gateway.postfix_recipes.submission import Submission
from tests.integration.dovecot.instance import PASSWORD, DovecotInstance
from tests.integration.ports import reserved_ports
from tests.integration.postfix.after_queue import AfterQueueTests, is_turned_off
from tests.integration.postfix.beside import beside_after_queue, last_story, listener_of
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import CommandFailed, PostfixInstance, RemoteClient, checked
from tests.integration.postfix.messages import message
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import RecipePair

pytestmark = [
    pytest.mark.server("postfix", "dovecot", "swaks"),
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

# As distributions have it; and Postfix completes headers of clients of its own networks, as all of these tests are.
_SERVICE = """\
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
    -o local_header_rewrite_clients=
"""
SASL = Path(__file__).parents[4] / "contrib" / "dovecot" / "submission-sasl.txt"
COLLEAGUE = "anna@example.test"
STRANGER = "stranger@elsewhere.test"
SENDER_LOGINS = f"{SENDER} sender\n{COLLEAGUE} anna\n"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where people log in: the port, and the file with the authority that signed the certificate."""

    port: int
    authority: Path

    @property
    def service(self) -> str:
        return f"127.0.0.1:{self.port}/inet"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[RecipePair, Desk]]:
    directory = tmp_path_factory.mktemp("gateway")
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix:
            desk = Desk(ports.take(), directory / "authority.pem")
            _offer_tls(postfix, desk)
            printed = parts(SASL.read_text().replace("submission/inet", desk.service))
            dovecot = DovecotInstance(
                {"sender": 0, "anna": 0},
                printed["dovecot.conf"].replace("/var/spool/postfix", f"{postfix.base}/queue"),
            )
            private = postfix.base / "queue" / "private"
            private.mkdir(mode=0o700)
            shutil.chown(private, "postfix")
            await postfix.paste(printed["commands"])
            wanted = Submission(f"127.0.0.1:{ports.take()}", desk.service)
            (postfix.base / "etc" / "sender-logins").write_text(SENDER_LOGINS)
            try:
                await dovecot.start()
                options = ("--submission", wanted.submission)
                async with beside_after_queue(directory, ports, postfix, wanted, options) as pair:
                    yield pair, desk
                assert dovecot.trouble() == []
            finally:
                await dovecot.stop()
                dovecot.remove()


def _offer_tls(postfix: PostfixInstance, desk: Desk) -> None:
    """A service that people may log in to, as an administrator has it before."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(desk.authority)
    certificate.private_key_and_cert_chain_pem.write_to_path(postfix.base / "etc" / "certificate.pem")
    postfix.set(smtpd_tls_chain_files=f"{postfix.base}/etc/certificate.pem", smtpd_tls_loglevel="0")
    postfix.append(master_cf=f"127.0.0.1:{desk.port} inet n - n - - smtpd\n{_SERVICE}")


@pytest.fixture
def pair(running: tuple[RecipePair, Desk]) -> RecipePair:
    return running[0]


@pytest.fixture
def desk(running: tuple[RecipePair, Desk]) -> Desk:
    return running[1]


class TestSubmission(AfterQueueTests):
    """Sent by somebody who is logged in."""

    @pytest.fixture
    def client(self) -> RemoteClient:
        return RemoteClient(name="localhost", address="127.0.0.1", helo="desk.example.test")

    @pytest.fixture(autouse=True)
    def _desk(self, desk: Desk) -> None:
        self.desk = desk

    async def send(self, pair: RecipePair, data: bytes, recipients: list[str], client: RemoteClient) -> None:
        def submit() -> None:
            with smtplib.SMTP("127.0.0.1", self.desk.port, client.helo, timeout=120) as connection:
                connection.starttls(context=ssl.create_default_context(cafile=str(self.desk.authority)))
                connection.login("sender", PASSWORD)
                assert connection.sendmail(SENDER, recipients, data) == {}

        await asyncio.to_thread(submit)

    async def test_logged_in_over_tls_it_is_outbound(self, pair: RecipePair, desk: Desk) -> None:
        """swaks, a client that nobody here wrote."""
        await _swaks(desk, SENDER, "sender", PASSWORD)
        story = await last_story(pair, "cleo@example.test")
        assert listener_of(story) == ("outbound", "outbound")
        assert story["sender"] == SENDER

    @pytest.mark.parametrize(
        ("sender", "login", "password", "refusal"),
        [
            (SENDER, "sender", "wrong", "535 5.7.8"),
            (COLLEAGUE, "sender", PASSWORD, "553 5.7.1"),
            (STRANGER, "sender", PASSWORD, "553 5.7.1"),
            (SENDER, "", "", "553 5.7.1"),
            (STRANGER, "", "", "554 5.7.1"),
        ],
        ids=["wrong password", "a colleague's address", "nobody's address", "no login", "no login, a stranger"],
    )
    async def test_refused_by_postfix(
        self, pair: RecipePair, desk: Desk, sender: str, login: str, password: str, refusal: str
    ) -> None:
        if refusal.startswith("535"):
            pair.postfix.expected_trouble.append("SASL PLAIN authentication failed")
        with pytest.raises(CommandFailed, match=refusal):
            await _swaks(desk, sender, login, password)

    async def test_forged_on_port_25_it_never_reaches_the_outbound_listener(self, pair: RecipePair) -> None:
        """A colleague's address as the sender, from elsewhere: taken for what it is, mail from elsewhere."""
        outbound = len(await _outbound_stories(pair))
        await pair.postfix.inject(message(9), COLLEAGUE, ["bo@example.test"], RemoteClient())
        story = await last_story(pair, "bo@example.test")
        assert (listener_of(story), story["sender"]) == (("after-queue", "inbound"), COLLEAGUE)
        assert story["session"]["client"] == RemoteClient().address
        assert len(await _outbound_stories(pair)) == outbound


async def test_off(pair: RecipePair) -> None:
    await is_turned_off(pair)


async def _outbound_stories(pair: RecipePair) -> list[str]:
    listed = await pair.gateway.command("trace", "--last", "100")
    return [line for line in listed.splitlines() if "\toutbound\t" in line]


async def _swaks(desk: Desk, sender: str, login: str, password: str) -> None:
    """Send to cleo over TLS, logged in if there is a `login`. CommandFailed with the transcript when refused."""
    auth = ["--auth", "PLAIN", "--auth-user", login, "--auth-password", password] if login else []
    await checked(
        "swaks", "--server", f"127.0.0.1:{desk.port}", "--tls", "--tls-ca-path", str(desk.authority),
        "--tls-verify", "--to", "cleo@example.test", "--helo", "desk.example.test", "--from", sender, *auth,
    )  # fmt: skip
