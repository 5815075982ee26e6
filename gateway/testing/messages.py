"""Messages for tests: their bytes, and the objects that hooks are given. Nothing here sends or reads anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from types import MappingProxyType

from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import Client, Direction, Envelope, MailParameters, Protocol, Recipient, Role, Session
from gateway.mail.message import Message, TagValue
from gateway.mail.transaction import SeenTransaction, Transaction
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan
from gateway.testing.clock import START

SENDER = "sender@elsewhere.test"
RECIPIENT = "anna@example.test"


def message(
    subject: str = "hello",
    text: str = "Hello.\n",
    *,
    sender: str = SENDER,
    to: str | Sequence[str] = RECIPIENT,
    headers: Mapping[str, str] | None = None,
    attachments: Mapping[str, bytes] | None = None,
    html: str = "",
) -> bytes:
    """The bytes of a message with CRLF line ends; the same arguments give the same bytes.

    `headers` are further fields; one named here by itself (Date, Message-ID, ...) takes its place. `attachments` maps
    file names to contents.
    """
    made = EmailMessage(policy=SMTP)
    fields = {
        "From": sender,
        "To": to if isinstance(to, str) else ", ".join(to),
        "Subject": subject,
        "Date": "Fri, 15 Jan 2027 08:00:00 +0000",
        "Message-ID": "<test@elsewhere.test>",
    }
    for name, value in {**fields, **(headers or {})}.items():
        made[name] = value
    made.set_content(text)
    if html:
        made.add_alternative(html, subtype="html")
    for name, content in (attachments or {}).items():
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    for number, part in enumerate(part for part in made.walk() if part.is_multipart()):
        part.set_boundary(f"=-boundary-{number}")
    return made.as_bytes()


def address(text: str) -> Address:
    """`text` as an address. Raises `AddressError`."""
    return Address.parse(text)


def session(
    *,
    listener: str = "mx",
    protocol: Protocol = "smtp",
    role: Role = "inbound",
    direction: Direction = "inbound",
    client: str = "192.0.2.7",
    client_name: str = "",
    helo: str = "client.elsewhere.test",
) -> Session:
    """A connection as `smtp_connect` and `smtp_mail` see it."""
    peer = Client(client, 4711, client_name, helo)
    return Session("test-session", listener, protocol, role, direction, peer, peer, helo)


def transaction(
    *to: str, sender: str = SENDER, came_by: Session | None = None, size: int | None = None, tags: TagsGiven = None
) -> SeenTransaction:
    """A transaction with accepted recipients, as the `smtp_rcpt_...` hooks see it. An empty sender is `<>`."""
    made = Transaction("test-transaction", came_by or session(), _sender(sender), MailParameters(size=size))
    for recipient in to:
        made.accept(Recipient(Address.parse(recipient)))
    made.tag(dict(tags or {}))
    return made.seen


def received(
    content: bytes | None = None,
    *to: str,
    sender: str = SENDER,
    came_by: Session | None = None,
    tags: TagsGiven = None,
    at: float = START,
) -> Message:
    """A complete message, as `message_received` and later hooks see it; for anna@example.test when nobody is named.

    `tags` has names with their plugin: `{"vip.yes": True}`. `parsed()` works as on live mail.
    """
    from gateway.planning import copy_in_a_thread, parse_in_a_thread

    recipients = tuple(Recipient(Address.parse(recipient)) for recipient in to or (RECIPIENT,))
    return Message(
        "test-message",
        Envelope(_sender(sender), recipients),
        came_by or session(),
        MemoryBody(message() if content is None else content),
        at,
        MappingProxyType(dict(tags or {})),
        parser=parse_in_a_thread,
        copier=copy_in_a_thread,
    )


def plan(of: Message, via: str = "mail") -> DeliveryPlan:
    """The plan of a message that nobody routes: one copy for each recipient, to the next hop `via`."""
    sender = of.envelope.sender
    return DeliveryPlan(
        tuple(
            RecipientPlan(recipient, (PlannedStep(DeliverStep(recipient.address, sender, via), ()),))
            for recipient in of.envelope.recipients
        )
    )


def _sender(text: str) -> Address | None:
    return Address.parse(text) if text else None


TagsGiven = Mapping[str, TagValue] | None
