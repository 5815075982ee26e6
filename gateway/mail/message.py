"""The message as hooks see it: frozen, with its envelope, its bytes and a lazy view of its header."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.message import Message as ParsedMessage
from types import MappingProxyType

from gateway.mail.authentication_results import NO_SERVERS, Authentication, TrustedServers, read
from gateway.mail.body import Body
from gateway.mail.edits import NO_EDITS, Edits
from gateway.mail.envelope import Envelope, Session
from gateway.mail.headers import Headers
from gateway.mail.structure import copied

TagValue = str | int | bool


@dataclass(frozen=True, slots=True)
class Tag:
    """A named fact about a message. Stored as `<plugin>.<name>`; the name must be declared at registration."""

    name: str
    value: TagValue = True


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment: `size` is that of the decoded content in octets."""

    filename: str
    content_type: str
    size: int


MimeParser = Callable[[Body], Awaitable[ParsedMessage | None]]
MimeCopier = Callable[[ParsedMessage], Awaitable[ParsedMessage]]

asking: ContextVar[str] = ContextVar("asking", default="")
"""The plugin whose hook is running. Set by who calls it, so that each has a MIME tree of its own."""


async def _no_parser(_body: Body) -> ParsedMessage | None:
    return None


async def _copy(tree: ParsedMessage) -> ParsedMessage:
    return copied(tree)


@dataclass(frozen=True, eq=False)
class Message:
    """A received message. `received_at` is a POSIX time stamp; `tags` maps `<plugin>.<name>` to its value.

    `id` is that of the transaction: a new one for each retry, and for each part of a message that a mail server split.
    """

    id: str
    envelope: Envelope
    session: Session
    body: Body
    received_at: float
    tags: Mapping[str, TagValue] = field(default_factory=lambda: MappingProxyType({}))
    edits: Edits = NO_EDITS
    parser: MimeParser = field(default=_no_parser, repr=False)
    copier: MimeCopier = field(default=_copy, repr=False)
    trusted_servers: TrustedServers = field(default=NO_SERVERS, repr=False)

    @property
    def headers(self) -> Headers:
        """The header fields as they came in, indexed on first use."""
        found = self.__dict__.get("_headers")
        if found is None:
            found = self.__dict__["_headers"] = Headers(self.body.header_block)
        return found

    @property
    def content_key(self) -> str:
        """The same for every part and every retry of one message: a hash (64 hex digits) of return path and content.

        Two messages with the same return path and the same bytes have one key, whenever they come.
        """
        return hashlib.sha256(self.envelope.return_path.encode() + b"\0" + self.body.sha256).hexdigest()

    @property
    def authentication(self) -> Authentication:
        """What the trusted servers in front say about SPF, DKIM, DMARC and the rest (RFC 8601), read on first use.

        Empty unless the listener has `trusted_authserv_ids`. See docs/admin/authentication-results.md.
        """
        found = self.__dict__.get("_authentication")
        if found is None:
            found = self.__dict__["_authentication"] = read(self.headers, self.trusted_servers)
        return found

    async def parsed(self) -> ParsedMessage | None:
        """The MIME structure, parsed in a thread on first use; None when the message breaks the parser.

        Each plugin has a tree of its own, the same one in all its hooks, and may do with it as it likes: nobody else
        sees that, and the mail stays as it is.
        """
        if "_parsed" not in self.__dict__:
            self.__dict__["_parsed"] = await self.parser(self.body)
        pristine: ParsedMessage | None = self.__dict__["_parsed"]
        if pristine is None:
            return None
        trees: dict[str, ParsedMessage] = self.__dict__.setdefault("_trees", {})
        plugin = asking.get()
        if plugin not in trees:
            trees[plugin] = await self.copier(pristine)
        return trees[plugin]

    def render(self) -> bytes:
        """The bytes that go out under `edits`. Without edits these are the bytes that came in."""
        return self.edits.render(self.body)
