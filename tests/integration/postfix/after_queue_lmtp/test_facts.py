"""What the recipe relies on in Postfix: each line that looks superfluous has a test here that shows what it prevents.

No gateway runs: a recording LMTP server stands in its place, and mail for the way back is spoken into its port.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.recipe import parts
from gateway.testing.sink import XFORWARD, Sink
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance, RemoteClient
from tests.integration.postfix.messages import assert_untouched, message
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix")

SENDER = "cleo@client.example"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe in a Postfix that is not started yet, with `sink` where it expects the gateway."""

    postfix: PostfixInstance
    sink: Sink
    reinjection_port: int
    main_cf: str
    master_cf: str

    async def start(self, without: str = "", instead: str = "") -> None:
        """Start with the recipe as printed, or with one piece of it replaced."""
        main_cf, master_cf = self.main_cf, self.master_cf
        if without:
            assert (main_cf + master_cf).count(without) == 1
            main_cf, master_cf = (text.replace(without, instead) for text in (main_cf, master_cf))
        self.postfix.append(main_cf=main_cf, master_cf=master_cf)
        await self.postfix.start()


@pytest.fixture
async def recipe(postfix: PostfixInstance, ports: PortReservation) -> AsyncIterator[Recipe]:
    postfix.write_mailboxes(["anna"])
    async with Sink(protocol="lmtp", keywords=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", XFORWARD)) as sink:
        reinjection_port = ports.take()
        printed = parts(AfterQueueLmtp(gateway=sink.address, reinjection=f"127.0.0.1:{reinjection_port}").render())
        yield Recipe(postfix, sink, reinjection_port, printed["main.cf"], printed["master.cf"])
        # a Postfix that goes first leaves no connection for the sink to break off
        await postfix.stop()


# the way to the gateway


async def test_xforward_comes_in_two_lines(recipe: Recipe) -> None:
    await recipe.start()
    await recipe.postfix.inject(message(), SENDER, ["anna@example.test"], RemoteClient())
    await recipe.sink.reached("DOT")
    lines = [line.split()[1:] for line in recipe.sink.commands if line.startswith("XFORWARD")]
    assert [[attribute.partition("=")[0] for attribute in line] for line in lines] == [
        ["NAME", "ADDR", "PORT"],
        ["PROTO", "HELO", "IDENT", "SOURCE"],
    ]
    [received] = recipe.sink.received
    told = received.xforward
    assert (told["NAME"], told["ADDR"], told["HELO"]) == ("client.example", "192.0.2.7", "helo.client.example")
    assert (told["PROTO"], told["SOURCE"]) == ("ESMTP", "REMOTE")
    assert recipe.postfix.log_lines(rf"postfix/qmgr.* {told['IDENT']}: from=<{SENDER}>")


async def test_gateway_on_a_unix_socket(postfix: PostfixInstance, ports: PortReservation) -> None:
    socket = postfix.base / "lmtp.sock"
    postfix.write_mailboxes(["anna"])
    async with Sink(protocol="lmtp", unix_path=socket) as sink:
        # the real one is 0660, and Postfix's user in its group
        socket.chmod(0o666)
        printed = parts(AfterQueueLmtp(gateway=sink.address, reinjection=f"127.0.0.1:{ports.take()}").render())
        postfix.append(main_cf=printed["main.cf"], master_cf=printed["master.cf"])
        await postfix.start()
        await postfix.inject(message(), SENDER, ["anna@example.test"])
        await postfix.wait_until_queue_is_empty()
        assert [received.to for received in sink.messages] == [("anna@example.test",)]
        await postfix.stop()


async def test_retry_carries_only_the_deferred_recipient_with_the_same_bytes(recipe: Recipe) -> None:
    recipe.sink.answer("RCPT", "550 5.1.1 nobody of that name", to="ghost@example.test", always=True)
    recipe.sink.answer("DOT", "451 4.3.0 later", to="bo@example.test")
    recipe.postfix.write_mailboxes(["anna", "bo", "ghost"])
    await recipe.start()
    await recipe.postfix.inject(
        message(), "anna@example.test", [f"{name}@example.test" for name in ("anna", "bo", "ghost")]
    )
    await until(lambda: recipe.postfix.log_lines(r"to=<bo@.* status=deferred \(.*451 4\.3\.0 later"), "bo is deferred")
    assert recipe.postfix.log_lines(r"to=<anna@.* dsn=2\.0\.0, status=sent \(250 2\.0\.0 ok")
    assert recipe.postfix.log_lines(r"to=<ghost@.* dsn=5\.1\.1, status=bounced \(.*550 5\.1\.1 nobody of that name")
    # the bounce is Postfix's own mail: it passes no filter
    await recipe.postfix.wait_until_delivered(1, "anna")
    await recipe.postfix.flush()
    await recipe.postfix.wait_until_queue_is_empty()
    first, second = recipe.sink.received
    assert first.to == ("anna@example.test", "bo@example.test")
    assert second.to == ("bo@example.test",)
    assert second.data == first.data


@pytest.mark.parametrize(
    ("without", "sizes"),
    [("", [120]), ("stellwerk_destination_recipient_limit = 1000", [50, 50, 20])],
    ids=["as-printed", "without-the-limit"],
)
async def test_recipient_limit_keeps_one_message_in_one_transaction(
    recipe: Recipe, without: str, sizes: list[int]
) -> None:
    recipients = [f"r{number:03}@example.test" for number in range(120)]
    recipe.postfix.write_mailboxes([address.partition("@")[0] for address in recipients])
    await recipe.start(without)
    await recipe.postfix.inject(message(), SENDER, recipients)
    await recipe.sink.reached("DOT", 120)
    assert sorted((len(received.recipients) for received in recipe.sink.received), reverse=True) == sizes
    assert sorted(to for received in recipe.sink.received for to in received.to) == recipients
    assert len({received.data for received in recipe.sink.received}) == 1


@pytest.mark.parametrize(
    ("without", "is_whole"),
    [("", True), ("    -o lmtp_line_length_limit=0\n", False)],
    ids=["as-printed", "without-the-option"],
)
async def test_long_lines_are_not_broken(recipe: Recipe, without: str, is_whole: bool) -> None:
    sent = message(body=b"x" * 5000 + b"\r\n")
    await recipe.start(without)
    await recipe.postfix.inject(sent, SENDER, ["anna@example.test"])
    await recipe.sink.reached("DOT")
    assert recipe.sink.received[0].data.endswith(sent) is is_whole


async def test_eight_bit_text_is_not_recoded_for_a_server_without_8bitmime(recipe: Recipe) -> None:
    sent = b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n" + message(body="Grüße\r\n".encode())
    recipe.sink.keywords = ("PIPELINING",)
    await recipe.start()
    await recipe.postfix.inject(sent, SENDER, ["anna@example.test"])
    await recipe.sink.reached("DOT")
    assert recipe.sink.received[0].data.endswith(sent)


async def test_comment_behind_an_option_kills_the_service_and_check_is_silent(recipe: Recipe) -> None:
    option = "-o lmtp_line_length_limit=0"
    await recipe.start(option, f"{option} # DKIM")
    assert await recipe.postfix.check() == ""
    assert recipe.postfix.trouble() == []
    # this death is what the test is about
    recipe.postfix.expected_trouble = [
        "fatal: unknown attribute name: #",
        "warning: process .*/lmtp pid .* exit status 1",
        "warning: .*/lmtp: bad command startup -- throttling",
        "warning: private/stellwerk socket: malformed response",
        "warning: transport stellwerk failure",
    ]
    await recipe.postfix.inject(message(), SENDER, ["anna@example.test"])
    await until(lambda: recipe.postfix.log_lines("lmtp.*fatal: unknown attribute name: #"), "lmtp dies")


# the way back


async def speak_back(recipe: Recipe, data: bytes, *, xforward: bool = True) -> None:
    """Hand a message to the re-injection port. Raises smtplib.SMTPResponseException with Postfix's refusal."""

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", recipe.reinjection_port, "gw.example.test", timeout=120) as client:
            client.ehlo()
            if xforward:
                assert client.docmd("XFORWARD", "ADDR=192.0.2.7 SOURCE=REMOTE")[0] == 250
            client.sendmail(SENDER, ["anna@example.test"], data)

    await asyncio.to_thread(send)


@pytest.mark.parametrize(
    ("without", "is_untouched"),
    [("", True), ("    -o local_header_rewrite_clients=\n", False)],
    ids=["as-printed", "without-the-option"],
)
async def test_headers_are_not_completed_on_the_way_back(recipe: Recipe, without: str, is_untouched: bool) -> None:
    """Not even when the client says nothing of the mail's origin."""
    sent = b"From: cleo\r\nTo: anna\r\n\r\nno Date, no Message-ID, unqualified addresses\r\n"
    await recipe.start(without)
    await speak_back(recipe, sent, xforward=False)
    await recipe.postfix.wait_until_delivered(1, "anna")
    [delivered] = recipe.postfix.delivered("anna")
    if is_untouched:
        assert_untouched(delivered, sent)
    else:
        assert b"\nFrom: cleo@mx.example.test\nTo: anna@mx.example.test\nMessage-Id:" in delivered


async def test_way_back_has_no_size_limit(recipe: Recipe) -> None:
    await recipe.start("message_size_limit = 36700160", "message_size_limit = 100000")
    sent = message(body=b"x\r\n" * 100_000)
    await speak_back(recipe, sent)
    await recipe.postfix.wait_until_delivered(1, "anna")
    [delivered] = recipe.postfix.delivered("anna")
    assert_untouched(delivered, sent)


async def test_cleanup_has_a_size_limit_of_its_own(recipe: Recipe) -> None:
    """`-o message_size_limit=0` for smtpd alone does not lift it."""
    recipe.postfix.set(message_size_limit="100000")
    recipe.postfix.append(
        master_cf=f"127.0.0.1:{recipe.reinjection_port} inet n - n - 30 smtpd\n    -o message_size_limit=0\n"
        "    -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n"
    )
    await recipe.postfix.start()
    recipe.postfix.expected_trouble = ["cleanup.*: queue file size limit exceeded", "mail_stream_cleanup: close error"]
    with pytest.raises(smtplib.SMTPDataError, match="message file too big"):
        await speak_back(recipe, message(body=b"x\r\n" * 100_000))


NORMALIZE = "    -o smtpd_forbid_bare_newline=normalize\n    -o smtpd_forbid_bare_newline_exclusions=\n"


@pytest.mark.parametrize(("without", "messages"), [("", 1), (NORMALIZE, 2)], ids=["as-printed", "without-the-options"])
@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n"], ids=["LF.LF", "LF.CRLF", "CRLF.LF"])
async def test_no_second_message_is_smuggled_over_loopback(
    recipe: Recipe, end: bytes, without: str, messages: int
) -> None:
    await recipe.start(without)
    inner = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\nQUIT\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", recipe.reinjection_port)
    await reader.readline()
    for command in (
        b"HELO gw.example.test",
        b"MAIL FROM:<cleo@client.example>",
        b"RCPT TO:<anna@example.test>",
        b"DATA",
    ):
        writer.write(command + b"\r\n")
        assert (await reader.readline())[:1] in b"23"
    writer.write(b"Subject: outer\r\n\r\nhello" + end + inner)
    assert (await reader.read()).endswith(b"221 2.0.0 Bye\r\n")
    writer.close()
    await writer.wait_closed()
    await recipe.postfix.wait_until_delivered(messages, "anna")
    await recipe.postfix.wait_until_queue_is_empty()
    headers = [delivered.partition(b"\n\n")[0] for delivered in recipe.postfix.delivered("anna")]
    assert sum(b"\nSubject: smuggled" in header for header in headers) == messages - 1
