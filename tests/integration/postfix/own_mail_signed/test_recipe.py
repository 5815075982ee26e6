"""The recipe own-mail-signed in a real Postfix, with OpenDKIM as the milter; dkimpy verifies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import dkim
import pytest
import pytest_asyncio

from gateway.postfix_recipes.own_mail_signed import OwnMailSigned
from tests.integration.ports import PortReservation, reserved_ports
from tests.integration.postfix.after_queue import AfterQueueTests
from tests.integration.postfix.beside import beside_after_queue, is_taken_out_beside
from tests.integration.postfix.own_mail_signed.opendkim import private_opendkim
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import RecipePair
from tests.integration.smtp_client import Client
from tests.integration.waiting import until

pytestmark = [pytest.mark.server("postfix", "opendkim"), pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


def _merge(queue: str, signed: str) -> str:
    """`own` in place of the one that stands in [routing]."""
    table = '[routing]\nown = "signing"\n'
    assert (queue.count('own = "postfix"'), signed.count(table)) == (1, 1)
    return queue.replace('own = "postfix"', 'own = "signing"') + signed.replace(table, "")


@pytest.fixture(scope="module")
def ports() -> Iterator[PortReservation]:
    with reserved_ports() as reservation:
        yield reservation


@pytest.fixture(scope="module")
def smtp_port(ports: PortReservation) -> int:
    """Of a listener at which whole messages get one reply, so that there is something to notify the sender of."""
    return ports.take()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(tmp_path_factory: pytest.TempPathFactory, ports: PortReservation) -> AsyncIterator[tuple[str, bytes]]:
    """The address of the milter as Postfix names it, and the TXT record of its key."""
    port = ports.take()
    async with private_opendkim(tmp_path_factory.mktemp("opendkim"), port) as record:
        yield f"inet:127.0.0.1:{port}", record


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, ports: PortReservation, smtp_port: int, key: tuple[str, bytes]
) -> AsyncIterator[RecipePair]:
    listener = f'\n[[listener]]\nname = "mx"\naddress = "127.0.0.1:{smtp_port}"\n[hosted."example.test"]\n'
    async with private_postfix(ports) as postfix:
        wanted = OwnMailSigned(reinjection=f"127.0.0.1:{ports.take()}", milter=key[0])
        async with beside_after_queue(
            tmp_path_factory.mktemp("gateway"),
            ports,
            postfix,
            wanted,
            ("--milter", key[0]),
            merge=_merge,
            more_config=f'{listener}mailboxes = ["*"]\n',
        ) as running:
            yield running


class TestOwnMailSigned(AfterQueueTests):
    """Other mail goes as it did."""

    async def test_a_notification_of_ours_is_signed_and_other_mail_is_not(
        self, pair: RecipePair, smtp_port: int, key: tuple[str, bytes]
    ) -> None:
        content = b"From: anna@example.test\r\nTo: bo@example.test\r\nSubject: to a ghost as well\r\n\r\nhello\r\n"
        recipients = ["cleo@example.test", "ghost@example.test"]
        async with Client.connect(smtp_port) as client:
            reply = await client.send("anna@example.test", recipients, content)
        assert reply.startswith("250")

        def notifications() -> list[bytes]:
            return [mail for mail in pair.postfix.delivered("anna") if b"multipart/report" in mail]

        [notification] = await until(notifications, "anna has the notification")
        assert b"\nDKIM-Signature: v=1;" in notification
        assert _is_valid(notification, key[1])
        assert not _is_valid(notification.replace(b"ghost@", b"other@"), key[1])
        await pair.postfix.wait_until_queue_is_empty()
        [mail] = [mail for mail in pair.postfix.delivered("cleo") if b"to a ghost as well" in mail]
        assert b"DKIM-Signature" not in mail


def _is_valid(mail: bytes, record: bytes) -> bool:
    """Whether the message (LF lines) has a signature that verifies with the key that DNS would give."""

    def txt(name: bytes, timeout: int = 0) -> bytes | None:
        return record if name == b"s1._domainkey.gw.example.test." else None

    return bool(dkim.verify(mail.replace(b"\n", b"\r\n"), dnsfunc=txt))


async def test_off(pair: RecipePair) -> None:
    await is_taken_out_beside(pair)
