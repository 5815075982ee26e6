"""The recipe submission in a real Postfix, with Dovecot checking the logins and swaks and smtplib logging in."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.postfix_recipes.submission import Submission
from tests.integration.dovecot.instance import PASSWORD
from tests.integration.ports import reserved_ports
from tests.integration.postfix.after_queue import AfterQueueTests
from tests.integration.postfix.beside import beside_after_queue, is_taken_out_beside, last_story, listener_of
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import CommandFailed, RemoteClient
from tests.integration.postfix.messages import message
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import RecipePair
from tests.integration.postfix.submission.desk import COLLEAGUE, Desk, open_desk

pytestmark = [
    pytest.mark.server("postfix", "dovecot", "swaks"),
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

STRANGER = "stranger@elsewhere.test"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[RecipePair, Desk]]:
    directory = tmp_path_factory.mktemp("gateway")
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix, open_desk(directory, ports, postfix) as desk:
            postfix.set(
                smtpd_data_restrictions="reject_unauth_pipelining, reject_multi_recipient_bounce",
                recipient_delimiter="+",
            )
            wanted = Submission(f"127.0.0.1:{ports.take()}", desk.services, postfix.front)
            options = ("--submission", wanted.submission, "--service", wanted.service)
            async with beside_after_queue(directory, ports, postfix, wanted, options) as pair:
                yield pair, desk


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
        await desk.swaks(SENDER, "sender")
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
            await desk.swaks(sender, login, password)

    async def test_logged_in_at_the_second_service_it_is_outbound(self, pair: RecipePair, desk: Desk) -> None:
        await desk.swaks(SENDER, "sender", wrapped=True)
        assert listener_of(await last_story(pair, "cleo@example.test")) == ("outbound", "outbound")
        with pytest.raises(CommandFailed, match=r"553 5\.7\.1"):
            await desk.swaks(COLLEAGUE, "sender", wrapped=True)

    @pytest.mark.parametrize("sender", [SENDER, COLLEAGUE, COLLEAGUE.upper(), "anna+x@example.test"])
    async def test_forged_on_port_25_it_is_refused(self, pair: RecipePair, sender: str) -> None:
        before = pair.postfix.count_delivered()
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await pair.postfix.inject(message(9), sender, ["bo@example.test"], RemoteClient())
        text = f"{refusal.value.smtp_code} {refusal.value.smtp_error!r}"
        assert "553 b'5.7.1" in text
        assert "Sender address rejected: not logged in" in text
        assert (pair.postfix.count_delivered(), await pair.postfix.queue()) == (before, [])

    async def test_forged_in_chunks_it_is_refused_too(self, pair: RecipePair) -> None:
        def submit() -> tuple[int, bytes]:
            with smtplib.SMTP("127.0.0.1", pair.postfix.smtp_port, "client.example", timeout=120) as connection:
                connection.ehlo()
                connection.docmd("XCLIENT", "ADDR=192.0.2.7 NAME=client.example")
                connection.ehlo("client.example")
                assert connection.has_extn("CHUNKING")
                connection.mail(COLLEAGUE)
                connection.rcpt("bo@example.test")
                connection.send(b"BDAT %d LAST\r\n" % len(message(9)) + message(9))
                return connection.getreply()

        code, text = await asyncio.to_thread(submit)
        assert (code, text[:5]) == (553, b"5.7.1")

    @pytest.mark.parametrize(
        ("sender", "client"),
        [
            (STRANGER, RemoteClient()),
            ("nobody@example.test", RemoteClient()),
            ("", RemoteClient()),
            (COLLEAGUE, None),
        ],
        ids=["a stranger", "an address that is nobody's", "a bounce", "a host in mynetworks"],
    )
    async def test_others_still_arrive_on_port_25_and_are_inbound(
        self, pair: RecipePair, sender: str, client: RemoteClient | None
    ) -> None:
        """Not even a host in mynetworks reaches the outbound listener by this port."""
        outbound = len(await _outbound_stories(pair))
        await pair.postfix.inject(message(9), sender, ["bo@example.test"], client)
        story = await last_story(pair, "bo@example.test")
        assert (listener_of(story), story["sender"]) == (("after-queue", "inbound"), sender)
        assert len(await _outbound_stories(pair)) == outbound

    async def test_what_main_cf_says_about_port_25_still_counts(self, pair: RecipePair) -> None:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await pair.postfix.inject(message(9), "", ["anna@example.test", "bo@example.test"], RemoteClient())
        assert refusal.value.smtp_code == 550


async def test_commands_may_be_pasted_again(pair: RecipePair) -> None:
    before = await pair.postfix.configuration()
    printed = await pair.postfix.paste(pair.printed["commands"])
    assert await pair.postfix.configuration() == before
    assert "stellwerk_own_senders,reject_unauth_pipelining,reject_multi_recipient_bounce" in printed


async def test_off(pair: RecipePair) -> None:
    await is_taken_out_beside(pair)


async def _outbound_stories(pair: RecipePair) -> list[str]:
    listed = await pair.gateway.command("trace", "--last", "100")
    return [line for line in listed.splitlines() if "\toutbound\t" in line]
