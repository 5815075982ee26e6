"""A mail transaction while its commands arrive: grown by the core only, read by the hooks through `SeenTransaction`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gateway.mail.address import Address
from gateway.mail.envelope import Envelope, MailParameters, Recipient, Session
from gateway.mail.message import TagValue


class Transaction:
    """MAIL to end of data. Hooks get `seen`: the accepted recipients so far and the tags that hooks before them set."""

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

    @property
    def seen(self) -> SeenTransaction:
        """What hooks are given."""
        return SeenTransaction(self)

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


class SeenTransaction:
    """A transaction as the `smtp_rcpt_...` hooks see it: always as it stands now, and read only."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @property
    def id(self) -> str:
        return self._transaction.id

    @property
    def session(self) -> Session:
        return self._transaction.session

    @property
    def sender(self) -> Address | None:
        """None is the null sender `<>`."""
        return self._transaction.sender

    @property
    def parameters(self) -> MailParameters:
        return self._transaction.parameters

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The accepted recipients, in the order of their RCPT, each address once."""
        return self._transaction.recipients

    @property
    def recipient_count(self) -> int:
        return self._transaction.recipient_count

    @property
    def tags(self) -> Mapping[str, TagValue]:
        """Tags of the hooks before, as `<plugin>.<name>`."""
        return self._transaction.tags

    def envelope(self) -> Envelope:
        """The envelope as it stands now."""
        return self._transaction.envelope()

    def has(self, recipient: Recipient) -> bool:
        """Whether this address was accepted before."""
        return self._transaction.has(recipient)
