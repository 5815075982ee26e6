"""The envelope of a message and the session it came by: what the client said, normalised once, never changed after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from gateway.mail.address import Address

Protocol = Literal["smtp", "lmtp"]
Role = Literal["inbound", "filter", "proxy", "submission"]
BEHIND_A_MAIL_SERVER: frozenset[Role] = frozenset({"filter", "proxy"})
"""Roles whose clients are mail servers of our own, and nobody else: they may bring mail for every domain."""
Direction = Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True)
class Client:
    """Who delivers to us: the socket's peer, or what a trusted peer said by XFORWARD or XCLIENT (then `forwarded`).

    `address` is a plain IPv4 or IPv6 address, `unix` for a UNIX socket, empty when a trusted peer says it is unknown.
    `ident` is the trusted peer's own id of the message (behind Postfix: its queue id). `source` is LOCAL, REMOTE or "".
    `login` is with which name the client logged in there (XCLIENT).
    """

    address: str
    port: int = 0
    name: str = ""
    helo: str = ""
    protocol: str = ""
    ident: str = ""
    source: str = ""
    forwarded: bool = False
    login: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client says at AUTH: `user` is what it called itself. The password is in no text that is made of this."""

    mechanism: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who has logged in, with the `address` they log in with.

    A plugin need only give the address: the rest is completed from the directory, which must know the person.
    `credential_version` is that of the directory at login; when it grows, the session may send nothing more.
    """

    address: Address
    person_id: str = ""
    name: str = ""
    context: str = ""
    organisation: str = ""
    credential_version: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """One connection as the hooks see it. `peer` is its other end, `client` whom the mail is from.

    `peer` is the socket's other end; behind a load balancer (PROXY protocol) the balancer's client, and `proxy` the
    address of the balancer. `destination` is the address that a client elsewhere connected to, where that was told.
    `trusted`: the client is one of `trusted_peers`. `tls` is the version of TLS, "TLSv1.3", empty without; `cipher` the
    suite by its OpenSSL name. `identity` is who has logged in, on submission listeners. `hides_client`: nobody further
    on is told where the mail came from.
    """

    id: str
    listener: str
    protocol: Protocol
    role: Role
    direction: Direction
    peer: Client
    client: Client
    helo: str = ""
    esmtp: bool = True
    trusted: bool = False
    tls: str = ""
    cipher: str = ""
    proxy: str = ""
    destination: str = ""
    identity: Identity | None = None
    hides_client: bool = False
    tags: Mapping[str, str | int | bool] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )
    """What `smtp_connect` said; every transaction of the connection begins with it."""


def tag_session(session: Session, tags: Mapping[str, str | int | bool]) -> None:
    """For the core: what hooks said of the connection. Nobody who has the session can write it by what they see."""
    if tags:
        object.__setattr__(session, "tags", MappingProxyType({**session.tags, **tags}))


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient with its RFC 3461 parameters: `notify` in the order given, `orcpt` as it was sent (xtext kept)."""

    address: Address
    notify: tuple[str, ...] = ()
    orcpt: str = ""

    @property
    def never_notify(self) -> bool:
        return "NEVER" in self.notify

    @property
    def notify_success(self) -> bool:
        return "SUCCESS" in self.notify

    @property
    def notify_failure(self) -> bool:
        """RFC 3461 4.1: without NOTIFY a failure is reported."""
        return not self.notify or "FAILURE" in self.notify

    def to_json(self) -> dict[str, Any]:
        return {"address": str(self.address), "notify": list(self.notify), "orcpt": self.orcpt}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipient:
        return cls(Address.parse(data["address"]), tuple(data["notify"]), data["orcpt"])


@dataclass(frozen=True, slots=True)
class MailParameters:
    """The ESMTP parameters of MAIL. `size` in octets as announced (RFC 1870), None when it was not."""

    size: int | None = None
    body: str = ""
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Return path (None is the null sender `<>`), recipients in the order of their RCPT, and the MAIL parameters."""

    sender: Address | None
    recipients: tuple[Recipient, ...]
    parameters: MailParameters = field(default_factory=MailParameters)

    @property
    def return_path(self) -> str:
        """The sender as it stands in MAIL FROM, without brackets; empty for the null sender."""
        return "" if self.sender is None else str(self.sender)
