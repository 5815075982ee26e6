"""A mail transaction while its commands arrive: grown by the core only, read by the hooks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gateway.mail.address import Address
from gateway.mail.envelope import Envelope, MailParameters, Recipient, Session
from gateway.mail.message import TagValue


class Transaction:
    """MAIL to end of data. Hooks see the accepted recipients so far and the tags that hooks before them set."""

    __slots__ = (
        "_keys",
        "_recipients",
        "_tags",
        "began",
        "client_gone",
        "events",
        "finished",
        "id",
        "parameters",
        "sender",
        "session",
    )

    def __init__(self, id: str, session: Session, sender: Address | None, parameters: MailParameters) -> None:
        self.id = id
        self.session = session
        self.sender = sender
        self.parameters = parameters
        self.began = time.perf_counter()
        self.client_gone = False
        """Set by the edge when the client can no longer see a reply."""
        self.events: list[dict[str, object]] = []
        """What the trace tells of this transaction before the message was complete."""
        self.finished: Sequence[tuple[str, str]] = ()
        """(journal entry, recipient) pairs that are closed once the client confirms our reply."""
        self._recipients: list[Recipient] = []
        self._keys: set[str] = set()
        self._tags: dict[str, TagValue] = {}

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The accepted recipients, in the order of their RCPT, each address once."""
        return tuple(self._recipients)

    @property
    def recipient_count(self) -> int:
        return len(self._recipients)

    @property
    def first_recipient(self) -> Recipient:
        """Raises IndexError while there is none."""
        return self._recipients[0]

    @property
    def tags(self) -> Mapping[str, TagValue]:
        return MappingProxyType(self._tags)

    def envelope(self) -> Envelope:
        """The envelope as it stands now."""
        return Envelope(self.sender, self.recipients, self.parameters)

    def has(self, recipient: Recipient) -> bool:
        """Whether this address was accepted before: it is told 250 again and delivered once."""
        return recipient.address.key in self._keys

    def accept(self, recipient: Recipient) -> None:
        """For the core: takes the recipient on."""
        self._keys.add(recipient.address.key)
        self._recipients.append(recipient)

    def tag(self, tags: Mapping[str, TagValue]) -> None:
        """For the core: notes what hooks returned."""
        self._tags.update(tags)
