"""Dovecot as the store: the lines of contrib/dovecot/ on a private Dovecot, and a gateway that delivers to it."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.postfix_recipes.recipe import parts
from tests.integration.dovecot.instance import DovecotInstance
from tests.integration.gateway_process import GatewayProcess
from tests.integration.ports import PortReservation
from tests.integration.smtp_client import Client
from tests.integration.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server("dovecot-lmtpd")]

SHIPPED = Path(__file__).parents[3] / "contrib" / "dovecot"
SENDER = "cleo@client.example"
USERS = {"anna@example.test": 0, "bo@example.test": 0, "full@example.test": 20_000}
HEADER = b"From: Cleo <cleo@client.example>\r\nTo: anna@example.test\r\nSubject: hello\r\n\r\n"

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
address = "127.0.0.1:{smtp}"

[[listener]]
name = "queue"
protocol = "lmtp"
role = "filter"
address = "127.0.0.1:{lmtp}"
trusted_peers = ["127.0.0.0/8"]

[hosted."example.test"]
mailboxes = ["*"]

"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A gateway and the Dovecot that it delivers to."""

    gateway: GatewayProcess
    dovecot: DovecotInstance
    smtp_port: int
    lmtp_port: int

    async def send_lmtp(self, *to: str, body: bytes = b"hello\r\n") -> list[str]:
        """The replies to RCPT that refuse, then one for each other recipient to the final dot."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.lmtp_port)
        try:
            commands = ["LHLO client.test", f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{each}>" for each in to), "DATA"]
            writer.write("".join(f"{command}\r\n" for command in commands).encode())
            replies = [await read_reply(reader) for _ in ("greeting", *commands)]
            refused = [reply[-1] for reply in replies[3:-1] if not reply[-1].startswith("250")]
            writer.write(HEADER + body + b".\r\n")
            return refused + [(await read_reply(reader))[-1] for _ in range(len(to) - len(refused))]
        finally:
            writer.close()
            await writer.wait_closed()

    async def send(self, *to: str, body: bytes = b"hello\r\n") -> str:
        """The reply to the final dot."""
        async with Client.connect(self.smtp_port) as client:
            return await client.send(SENDER, to, HEADER + body)


async def read_reply(reader: asyncio.StreamReader) -> list[str]:
    """One reply, line by line."""
    lines = [(await reader.readline()).decode().rstrip()]
    while lines[-1][3:4] == "-":
        lines.append((await reader.readline()).decode().rstrip())
    return lines


def transaction_of(reply: str) -> str:
    return reply.rpartition("[")[2].rstrip("]")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["unix-socket", "tcp"])
async def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    printed = parts((SHIPPED / f"{request.param}.txt").read_text())
    ports = PortReservation()
    smtp, lmtp, store = (ports.take() for _ in range(3))
    dovecot = DovecotInstance(USERS, printed["dovecot.conf"].replace("10031", str(store)).replace(
        "group = stellwerk", "group = root"))  # fmt: skip
    config = printed["stellwerk.toml"].replace("10031", str(store)).replace("/run/dovecot", f"{dovecot.base}/run")
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), _CONFIG.format(smtp=smtp, lmtp=lmtp) + config)
    try:
        await dovecot.start()
        await gateway.start()
        yield Pair(gateway, dovecot, smtp, lmtp)
        assert dovecot.trouble() == []
    finally:
        await gateway.stop()
        await dovecot.stop()
        dovecot.remove()
        ports.release()


async def test_mail_arrives_as_it_was(pair: Pair) -> None:
    sent = b"as it was: \xe4\xf6\xfc, and a line of " + b"x" * 5000 + b"\r\n.\r\n..\r\n"
    reply = await pair.send("anna@example.test", body=sent)
    assert reply.startswith("250 2.0.0")
    [stored] = [mail for mail in pair.dovecot.delivered("anna") if b"as it was" in mail]
    assert stored.endswith((HEADER + sent).replace(b"\r\n", b"\n"))
    on_top = stored.removesuffix((HEADER + sent).replace(b"\r\n", b"\n"))
    assert b"Return-Path: <cleo@client.example>\n" in on_top
    assert b"Delivered-To: anna@example.test\n" in on_top
    assert {name.lower() for name in re.findall(rb"^([\w-]+):", on_top, re.MULTILINE)} <= {
        b"return-path", b"delivered-to", b"received", b"x-stellwerk-loop"
    }  # fmt: skip


async def test_trace_has_dovecots_own_reply(pair: Pair) -> None:
    reply = await pair.send("anna@example.test")
    [step] = (await pair.gateway.trace(transaction_of(reply)))["steps"]
    assert step["state"] == "done"
    assert re.search(r"^250 2\.0\.0 <anna@example\.test> \S+ Saved", str(step["reply"]))


async def test_each_recipient_by_its_own_reply(pair: Pair) -> None:
    body = b"mixed\r\n" + b"x" * 70 * 500 + b"\r\n"
    replies = await pair.send_lmtp("bo@example.test", "ghost@example.test", "full@example.test", body=body)
    assert [reply[:9] for reply in replies] == ["250 2.0.0", "550 5.1.1", "552 5.2.2"]
    assert "User doesn't exist: ghost@example.test" in replies[1]
    assert "Quota exceeded" in replies[2]
    assert (len(pair.dovecot.delivered("bo")), pair.dovecot.delivered("full")) == (1, [])


async def test_a_mailbox_that_is_over_quota_refuses_before_data(pair: Pair) -> None:
    """Dovecot lets one message exceed the quota a little (quota_grace); lmtp_rcpt_check_quota stops the next."""
    nearly = b"x" * 70 + b"\r\n"
    assert (await pair.send("full@example.test", body=nearly * 280)).startswith("250")
    reply = await pair.send("full@example.test", body=b"small\r\n")
    assert reply.startswith("552 5.2.2")
    [step] = (await pair.gateway.trace(transaction_of(reply)))["steps"]
    assert step["state"] == "refused"
    assert len(pair.dovecot.delivered("full")) == 1


async def test_subaddress_goes_to_the_folder_of_its_name_if_there_is_one(pair: Pair) -> None:
    pair.dovecot.make_folder("anna", "lists")
    for detail in ("lists", "nothing"):
        reply = await pair.send(f"anna+{detail}@example.test", body=b"detail " + detail.encode() + b"\r\n")
        assert reply.startswith("250")
    [in_folder] = pair.dovecot.delivered("anna", "lists")
    assert in_folder.endswith(b"detail lists\n")
    assert any(mail.endswith(b"detail nothing\n") for mail in pair.dovecot.delivered("anna"))


async def test_thirty_megabytes(pair: Pair) -> None:
    line = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n"
    body = line * (30 * 1024 * 1024 // len(line))
    assert (await pair.send("anna@example.test", body=body)).startswith("250")
    [stored] = [mail for mail in pair.dovecot.delivered("anna") if len(mail) > 20_000_000]
    assert stored.endswith((HEADER + body).replace(b"\r\n", b"\n"))


async def test_what_dovecot_offers(pair: Pair) -> None:
    """docs/admin/dovecot.md says what follows from it; a Dovecot that offers more is a reason to read it again."""
    address = tomllib.loads(pair.gateway.config.read_text())["next_hop"]["dovecot"]["address"]
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        reader, writer = await asyncio.open_connection(*address.split(":"))
    try:
        writer.write(b"LHLO client.test\r\nXFORWARD ADDR=192.0.2.7\r\nXCLIENT ADDR=192.0.2.7\r\nQUIT\r\n")
        _greeting, offered, xforward, xclient, _bye = [await read_reply(reader) for _ in range(5)]
    finally:
        writer.close()
        await writer.wait_closed()
    keywords = {line[4:].split()[0] for line in offered[1:]}
    assert keywords - {"XCLIENT"} == {"8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING"}
    assert (xforward[0][:3], "XCLIENT" in keywords, xclient[0][:3]) in {("500", False, "550"), ("500", True, "220")}


async def test_asked_for_success_the_gateway_says_delivered(pair: Pair) -> None:
    """Dovecot takes no NOTIFY, and its 250 is the final delivery: the gateway reports it (RFC 3461 5.2.2)."""
    async with Client.connect(pair.smtp_port) as client:
        await client.say(b"MAIL FROM:<bo@example.test> RET=HDRS ENVID=abc\r\n", "250")
        await client.say(b"RCPT TO:<anna@example.test> NOTIFY=SUCCESS ORCPT=rfc822;anna@example.test\r\n", "250")
        await client.say(b"DATA\r\n", "354")
        await client.say(HEADER + b"success, please\r\n.\r\n", "250")

    def notified() -> list[bytes]:
        return [mail for mail in pair.dovecot.delivered("bo") if b"\nAction: delivered\n" in mail]

    [notification] = await until(notified, "the notification is in bo's mailbox")
    assert b"\nOriginal-Envelope-Id: abc\n" in notification


async def test_while_dovecot_is_killed_mail_is_deferred(pair: Pair) -> None:
    await pair.dovecot.stop(kill=True)
    [reply] = await pair.send_lmtp("anna@example.test", body=b"after the crash\r\n")
    assert reply.startswith("451 4.4.1")
    await pair.dovecot.start()
    [reply] = await pair.send_lmtp("anna@example.test", body=b"after the crash\r\n")
    assert reply.startswith("250 2.0.0")
    assert sum(b"after the crash" in mail for mail in pair.dovecot.delivered("anna")) == 1
