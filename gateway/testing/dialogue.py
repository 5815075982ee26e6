"""Sends one message over a real connection, as a mail server would, and keeps every reply. Python's smtplib speaks."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Sequence
from typing import Literal

from gateway.mail.reply import Reply

_ID = re.compile(r"\[([^\s\[\]]+)\]\Z")


def transact(
    address: str,
    protocol: Literal["smtp", "lmtp"],
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    helo: str = "client.elsewhere.test",
) -> tuple[Reply, dict[str, Reply]]:
    """The last reply that counts, and the reply that each recipient's copy came to.

    Raises `OSError` or `smtplib.SMTPServerDisconnected` when the connection breaks before a reply.
    """
    host, _, port = address.rpartition(":")
    client = smtplib.LMTP() if protocol == "lmtp" else smtplib.SMTP(timeout=60)
    try:
        banner = _reply(client.connect(host.strip("[]"), int(port)))
        if not banner.is_accept:
            return banner, dict.fromkeys(recipients, banner)
        return _transaction(client, protocol, sender, recipients, content, helo)
    finally:
        _leave(client)


def transaction_id(reply: Reply) -> str:
    """The id that the gateway puts at the end of a reply; empty when there is none."""
    found = _ID.search(reply.text)
    return found[1] if found else ""


def _transaction(
    client: smtplib.SMTP, protocol: str, sender: str, recipients: Sequence[str], content: bytes, helo: str
) -> tuple[Reply, dict[str, Reply]]:
    client.ehlo(helo)
    options = [f"SIZE={len(content)}"]
    if not all(text.isascii() for text in (sender, *recipients)):
        client.command_encoding = "utf-8"
        options.append("SMTPUTF8")
    mail = _reply(client.mail(sender, options))
    if not mail.is_accept:
        return mail, dict.fromkeys(recipients, mail)
    replies = {recipient: _reply(client.rcpt(recipient)) for recipient in recipients}
    taken = [recipient for recipient in recipients if replies[recipient].is_accept]
    if not taken:
        return replies[recipients[-1]], replies
    try:
        last = _reply(client.data(content))
    except smtplib.SMTPDataError as error:
        last = _reply((error.smtp_code, _bytes(error.smtp_error)))
        return last, replies | dict.fromkeys(taken, last)
    replies |= dict.fromkeys(taken, last)
    if protocol == "lmtp":
        for recipient in taken[1:]:
            last = replies[recipient] = _reply(client.getreply())
    return last, replies


def _leave(client: smtplib.SMTP) -> None:
    try:
        client.quit()
    except (smtplib.SMTPException, OSError):
        client.close()


def _reply(answered: tuple[int, bytes]) -> Reply:
    code, text = answered
    return Reply.parse(code, text.decode("utf-8", "replace"))


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
