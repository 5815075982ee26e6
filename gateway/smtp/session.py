"""What all connections of a listener share, and the `Session` that a connection begins with."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import ssl
from concurrent.futures import Executor
from functools import cached_property, partial
from itertools import compress, product
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.listener import ListenerConfig
from gateway.config.models import LimitsConfig
from gateway.mail.envelope import Client, Session
from gateway.smtp.admission import ConnectionLimits
from gateway.smtp.counts import ListenerCounts
from gateway.smtp.credentials import MECHANISMS
from gateway.smtp.intake import MessageIntake
from gateway.smtp.limits import UNIX_PEER, Allowance, TrustedPeers
from gateway.smtp.rates import Rates
from gateway.smtp.spool import SpoolWatch
from gateway.smtp.xclient import ATTRIBUTES as XCLIENT_ATTRIBUTES
from gateway.smtp.xforward import ATTRIBUTES

if TYPE_CHECKING:
    from gateway.pipeline import Pipeline

_EXTENSIONS = ("8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")


class Service:
    """One listener: its settings, its limits, what it says to everybody, and whom it hands messages to."""

    def __init__(
        self,
        listener: ListenerConfig,
        limits: LimitsConfig,
        spool: Path,
        hostname: str,
        pipeline: Pipeline,
        threads: Executor,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if (tls is None) != (listener.tls == "none"):
            raise ValueError(f'listener "{listener.name}" has tls = "{listener.tls}" and the TLS context {tls}')
        self.listener = listener
        self.tls = tls
        self.offers_tls = listener.tls in ("starttls", "required")
        self.hostname = hostname
        self.pipeline = pipeline
        self.counts = ListenerCounts(listener.name)
        self.loop = asyncio.get_running_loop()
        self.trusted = TrustedPeers(listener.trusted_peers)
        self.proxies = TrustedPeers(listener.trusted_proxies) if listener.proxy_protocol else None
        self.rates = Rates.of(listener)
        self.connections = ConnectionLimits(listener, self.rates)
        self._usual = Allowance(
            listener.command_timeout_seconds,
            listener.data_timeout_seconds,
            listener.max_errors,
            listener.max_idle_commands,
        )
        self.under_stress = Allowance(
            min(listener.stress_timeout_seconds, listener.command_timeout_seconds),
            min(listener.stress_timeout_seconds, listener.data_timeout_seconds),
            min(listener.stress_max_errors, listener.max_errors),
            min(listener.stress_max_idle_commands, listener.max_idle_commands),
        )
        self.max_message_bytes = listener.max_message_bytes or limits.max_message_bytes
        self.normalises_newlines = listener.normalises_newlines
        self.new_intake = partial(
            MessageIntake,
            spool,
            limits.spill_bytes,
            max_bytes=self.max_message_bytes,
            max_line_bytes=limits.max_line_bytes,
            normalise=self.normalises_newlines,
            threads=threads,
            watch=SpoolWatch(listener.name),
            skip_received=listener.role == "proxy",
        )
        self._id_prefix = secrets.token_hex(4)
        self._count = itertools.count(1)

    def allowance(self, *, trusted: bool) -> Allowance:
        """What holds now for a client."""
        return self.under_stress if self.connections.stressed and not trusted else self._usual

    @cached_property
    def greeting(self) -> bytes:
        return f"220 {self.hostname} {'LMTP' if self.listener.protocol == 'lmtp' else 'ESMTP'} Stellwerk\r\n".encode()

    @cached_property
    def helo_reply(self) -> bytes:
        return f"250 {self.hostname}\r\n".encode()

    @cached_property
    def _ehlo_replies(self) -> dict[tuple[bool, bool, bool, bool], bytes]:
        lines = [self.hostname, "PIPELINING", f"SIZE {self.max_message_bytes}", *_EXTENSIONS]
        lines += ["CHUNKING"] * self.listener.chunking
        optional = (
            "STARTTLS",
            f"XFORWARD {' '.join(ATTRIBUTES)}",
            f"XCLIENT {' '.join(XCLIENT_ATTRIBUTES)}",
            f"AUTH {' '.join(MECHANISMS)}",
        )
        return {
            (encrypted, xforward, xclient, auth): _multiline(
                lines + list(compress(optional, (self.offers_tls and not encrypted, xforward, xclient, auth)))
            )
            for encrypted, xforward, xclient, auth in product((False, True), repeat=4)
        }

    def ehlo_reply(self, encrypted: bool, xforward: bool, xclient: bool, auth: bool) -> bytes:
        """What is offered to a client that speaks TLS already, and may or may not use the three commands."""
        return self._ehlo_replies[encrypted, xforward, xclient, auth]

    def takes_logins(self, encrypted: bool) -> bool:
        """Whether a client may log in that speaks TLS already, or does not."""
        return self.listener.role == "submission" and (encrypted or self.listener.auth_without_tls)

    def new_session(self, client: Client) -> Session:
        listener = self.listener
        return Session(
            id=f"{self._id_prefix}-{next(self._count):x}",
            listener=listener.name,
            protocol=listener.protocol,
            role=listener.role,
            direction=listener.direction,
            peer=client,
            client=client,
            trusted=client.address in self.trusted,
            hides_client=listener.hide_client,
        )


def peer_client(address: object) -> Client:
    """The other end as `accept` names it; an IPv4 client of an IPv6 socket is an IPv4 client."""
    if not isinstance(address, tuple):
        return Client(UNIX_PEER)
    host, port = address[:2]
    return Client(host.removeprefix("::ffff:") if "." in host else host.partition("%")[0], port)


def _multiline(lines: list[str]) -> bytes:
    return "".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode()
