"""The private Postfix itself, before anything is put behind it."""

from __future__ import annotations

import smtplib

import pytest

from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix")

MESSAGE = b"From: a@client.example\r\nTo: anna@example.test\r\n\r\nhello\r\n"


async def test_message_arrives_in_maildir(postfix: PostfixInstance) -> None:
    postfix.write_mailboxes(["anna"])
    await postfix.start()
    await postfix.inject(MESSAGE, "a@client.example", ["anna@example.test"])
    await postfix.wait_until_delivered(1, "anna")
    [message] = postfix.delivered("anna")
    assert message.endswith(MESSAGE.replace(b"\r\n", b"\n"))
    assert await postfix.queue() == []


@pytest.mark.parametrize("program", ["swaks", "smtp-source"])
async def test_programs_inject(postfix: PostfixInstance, program: str) -> None:
    postfix.write_mailboxes(["anna"])
    await postfix.start()
    if program == "swaks":
        await postfix.swaks("--from", "a@client.example", "--to", "anna@example.test", "--body", "hello")
    else:
        await postfix.smtp_source("-f", "a@client.example", "-t", "anna@example.test")
    await postfix.wait_until_delivered(1, "anna")


async def test_alias_expands_and_reload_sees_new_maps(postfix: PostfixInstance) -> None:
    postfix.write_mailboxes(["anna", "bo"])
    await postfix.start()
    postfix.write_aliases({"team@example.test": ["anna@example.test", "bo@example.test"]})
    await postfix.reload()
    await postfix.inject(MESSAGE, "a@client.example", ["team@example.test"])
    await postfix.wait_until_delivered(2)
    assert len(postfix.delivered("anna")) == len(postfix.delivered("bo")) == 1


async def test_unreachable_next_hop_keeps_mail_until_flushed(postfix: PostfixInstance, ports: PortReservation) -> None:
    postfix.write_mailboxes(["anna"])
    restore = postfix.snapshot()
    postfix.set(virtual_transport=f"lmtp:inet:127.0.0.1:{ports.take()}")
    await postfix.start()
    await postfix.inject(MESSAGE, "a@client.example", ["anna@example.test"])

    async def is_deferred() -> bool:
        return [entry["queue_name"] for entry in await postfix.queue()] == ["deferred"]

    await until(is_deferred, "the message is deferred")
    restore()
    await postfix.reload()
    await postfix.flush()
    await postfix.wait_until_delivered(1, "anna")


async def test_two_instances_run_side_by_side(postfix: PostfixInstance, second_postfix: PostfixInstance) -> None:
    for instance in (postfix, second_postfix):
        instance.write_mailboxes(["anna"])
        await instance.start()
    await postfix.inject(MESSAGE, "a@client.example", ["anna@example.test"])
    await postfix.wait_until_delivered(1)
    assert second_postfix.count_delivered() == 0


async def test_trouble_in_the_log_is_found_unless_expected(postfix: PostfixInstance) -> None:
    postfix.set(virtual_mailbox_maps="texthash:/nowhere/at/all")
    await postfix.start()
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await postfix.inject(MESSAGE, "a@client.example", ["anna@example.test"])
    await until(postfix.trouble, "the missing map is complained about")
    with pytest.raises(AssertionError, match="/nowhere/at/all"):
        postfix.assert_quiet_log()
    postfix.expected_trouble = ["/nowhere/at/all", 'lookup error for "anna@example.test"']
    postfix.assert_quiet_log()
