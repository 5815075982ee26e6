"""The messages that a plugin is tried on: ordinary ones and such as make careless code fall over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.testing.messages import message

ANNA, BO = "anna@example.test", "bo@example.test"


@dataclass(frozen=True, slots=True)
class Sample:
    """`what` says in half a sentence what is special about it."""

    what: str
    content: bytes
    to: tuple[str, ...] = (ANNA,)
    sender: str = "sender@elsewhere.test"
    listener: str = "mx"


def samples() -> Iterator[Sample]:
    yield Sample("an ordinary message", message("Your invoice of May", "Hello Anna,\n\nplease find it attached.\n"))
    yield Sample(
        "a message with an attachment and HTML", message(html="<p>Hi</p>", attachments={"a.pdf": b"%PDF" * 99})
    )
    yield Sample("a message to several", message(to=[ANNA, BO]), to=(ANNA, BO, "team+x@example.test"))
    yield Sample("a message from the null sender", message("Undelivered"), sender="")
    yield Sample("a message behind a queue", message(), listener="queue", to=(ANNA, BO))
    yield Sample("a message to the outside", message(), listener="out", to=("someone@elsewhere.test",))
    yield Sample("a message of 400 KB", message(text="all work and no play\n" * 20_000))
    yield Sample("a subject that is coded", message("Gr\u00fc\u00dfe an \u3053\u3093"))
    yield Sample("a message without any header", b"\r\nHello.\r\n")
    yield Sample("an empty message", b"\r\n")
    yield Sample("a message without subject, From or To", b"Date: x\r\n\r\nHello.\r\n")
    yield Sample(
        "bytes that are no text", b"Subject: \xff\xfe\x80\r\nFrom: \xe9@\r\n\r\n\xff\x00\x80\r\n".replace(b"\0", b"?")
    )
    yield Sample(
        "a broken MIME structure", b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Tr\r\n--b'
    )
    yield Sample("a local part that is not ASCII", message(), sender="\u00fcnn\u00ef@elsewhere.test")
