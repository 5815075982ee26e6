"""The settings of one listener: `[[listener]]`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.config.problems import Problem, SettingsError
from gateway.config.section import FilePath, Networks, Section
from gateway.mail.envelope import BEHIND_A_MAIL_SERVER, Role


def _authserv_ids(names: list[str]) -> list[str]:
    """Lower case. Raises `SettingsError` for a name that cannot stand in a field (RFC 8601 2.2) or is none."""
    problems = [
        Problem((index,), f"found {name!r}; expected a name like mx.example.org")
        for index, name in enumerate(names)
        if not name.isascii() or not name.isprintable() or not name or set(name) & set(' ;"()')
    ]
    if problems:
        raise SettingsError(problems)
    return [name.lower() for name in names]


_SUBMISSION_ONLY = (
    "auth_without_tls",
    "max_auth_failures",
    "person_rate_window_seconds",
    "max_person_message_rate",
    "max_person_recipient_rate",
    "hide_client",
)

AuthservIds = Annotated[list[str], AfterValidator(_authserv_ids)]


class ListenerConfig(Section):
    """One address that takes mail."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]*$",
        description="name in logs, traces and on the command line",
        json_schema_extra={"allowed": "lower-case letters, digits, - and _, beginning with a letter"},
    )
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="lmtp answers once per recipient after the dot")
    role: Role = Field(
        "inbound",
        description="inbound: from anywhere, hosted domains only; filter: behind a trusted MTA's queue; "
        "proxy: before its queue, where a refusal still reaches the client; submission: people of the directory who "
        "log in, to everywhere",
    )
    direction: Literal["inbound", "outbound"] = Field(
        "inbound",
        description="direction of the mail on a filter or proxy listener; never guessed from the sender; submission is "
        "always outbound",
    )
    address: str = Field(
        description="where it listens; a UNIX socket has mode 0660",
        json_schema_extra={"allowed": '"host:port", "[ipv6]:port" or "unix:/path"'},
    )
    tls: Literal["none", "starttls", "required", "implicit"] = Field(
        "none",
        description="starttls: offered; required: no mail before STARTTLS; implicit: TLS from the first octet",
    )
    tls_certificate: FilePath | None = Field(
        None, description="PEM file with the certificate and its chain; read at start and at each reload"
    )
    tls_key: FilePath | None = Field(
        None,
        description="PEM file with the key, not readable for everybody; default: in tls_certificate",
    )
    tls_min_version: Literal["1.2", "1.3"] = Field("1.2", description="oldest version of TLS that is spoken")
    tls_client_ca: FilePath | None = Field(
        None, description="PEM file with the authority that every client's certificate must come from"
    )
    tls_handshake_seconds: float = Field(30, gt=0, le=30, description="for the whole handshake")
    trusted_peers: Networks = Field(
        [], description="networks whose clients may use XFORWARD and are free of per-client limits"
    )
    xclient: bool = Field(False, description="trusted peers may also use XCLIENT: speak in the name of any client")
    proxy_protocol: bool = Field(
        False, description="every connection begins with a PROXY header, version 1 or 2, from one of trusted_proxies"
    )
    trusted_proxies: Networks = Field([], description="networks of the load balancers that send the PROXY header")
    trust_everyone: bool = Field(
        False, description="allow trusted_peers or trusted_proxies that cover the whole Internet"
    )
    trusted_authserv_ids: AuthservIds = Field(
        [],
        description="whose Authentication-Results count, as the mail servers in trusted_peers name themselves in them",
    )
    trusted_received: int = Field(
        1, ge=1, le=50, description="Received fields those servers write; results below the next came with the mail"
    )
    bare_newlines: Literal["reject", "normalise"] | None = Field(
        None,
        description="stray CR, LF and NUL: default reject, on filter and proxy normalise",
    )
    trust_network: bool = Field(
        False,
        description="allow a filter or proxy listener, xclient or proxy_protocol beyond loopback without "
        "tls_client_ca: nothing but their address proves who the peers are",
    )
    max_message_bytes: int | None = Field(None, gt=0, description="overrides limits.max_message_bytes here")
    max_recipients: int = Field(1000, ge=100, description="recipients of one transaction (RFC 5321 4.5.3.1.8: 100)")
    max_connections: int = Field(1000, ge=1, description="open connections of one worker on this listener")
    max_connections_per_client: int = Field(
        20, ge=1, description="open connections of one untrusted address; of IPv6 a /64 counts as one"
    )
    max_connections_per_network: int = Field(200, ge=1, description="open connections of one untrusted network")
    network_prefix_ipv4: int = Field(24, ge=8, le=32, description="bits of an IPv4 address that make its network")
    network_prefix_ipv6: int = Field(56, ge=16, le=64, description="bits of an IPv6 address that make its network")
    rate_window_seconds: float = Field(60, ge=1, le=86_400, description="the time that the rates below are for")
    max_connection_rate: int = Field(
        0, ge=0, description="connections of one untrusted client in rate_window_seconds; 0: no limit"
    )
    max_message_rate: int = Field(
        0, ge=0, description="MAIL commands of one untrusted client in rate_window_seconds; 0: no limit"
    )
    max_recipient_rate: int = Field(
        0, ge=0, description="RCPT commands of one untrusted client in rate_window_seconds; 0: no limit"
    )
    max_errors: int = Field(20, ge=1, description="refused or unknown commands before the connection is closed")
    max_idle_commands: int = Field(
        100, ge=10, description="commands in a row that bring no mail (NOOP, RSET, VRFY, ...)"
    )
    command_timeout_seconds: float = Field(300, gt=0, description="for one whole command line (RFC 5321 4.5.3.2.7)")
    data_timeout_seconds: float = Field(180, gt=0, description="longest pause in message data (RFC 5321 4.5.3.2.5)")
    min_data_bytes_per_second: int = Field(
        500, ge=0, description="message data slower than this for data_timeout_seconds is broken off; 0 switches it off"
    )
    max_data_seconds: float = Field(
        7200, ge=0, description="for all the data of one message, however fast it comes; 0: no limit"
    )
    stress_percent: int = Field(
        80,
        ge=0,
        le=100,
        description="part of max_connections that, once taken, puts untrusted clients under the stress_ settings, "
        "until three quarters of it are left; 0: never",
    )
    stress_timeout_seconds: float = Field(
        10, gt=0, description="replaces command_timeout_seconds and data_timeout_seconds under stress if it is shorter"
    )
    stress_max_errors: int = Field(1, ge=1, description="replaces max_errors under stress if it is smaller")
    stress_max_idle_commands: int = Field(
        5, ge=1, description="replaces max_idle_commands under stress if it is smaller"
    )
    auth_without_tls: bool = Field(
        False,
        description="submission: take passwords without TLS, on loopback or a UNIX socket only (something in front of "
        "it speaks TLS)",
    )
    max_auth_failures: int = Field(
        3, ge=1, description="submission: failed logins before the connection is closed at the next attempt"
    )
    person_rate_window_seconds: float = Field(
        3600, ge=1, le=86_400, description="submission: the time that the two rates below are for"
    )
    max_person_message_rate: int = Field(
        200,
        ge=0,
        description="submission: MAIL commands of one person in person_rate_window_seconds, over all their "
        "connections to one worker; 0: no limit",
    )
    max_person_recipient_rate: int = Field(
        1000, ge=0, description="submission: RCPT commands of one person, counted in the same way; 0: no limit"
    )
    hide_client: bool = Field(
        False,
        description="submission: name neither address nor host name of the client in Received, nor by XFORWARD",
    )
    chunking: bool = Field(True, description="offer CHUNKING and take messages by BDAT (RFC 3030)")
    transaction_deadline_seconds: float | None = Field(
        None,
        gt=0,
        description="after the final dot: what has not begun by then is deferred; default 540, on proxy 80, since "
        "Postfix waits smtpd_proxy_timeout (100 s) for the reply",
    )
    greeting_delay_ms: int = Field(
        100,
        ge=0,
        le=10_000,
        description="wait before the greeting for clients that speak too early; trusted peers: none",
    )

    @property
    def normalises_newlines(self) -> bool:
        default = "normalise" if self.role in BEHIND_A_MAIL_SERVER else "reject"
        return (self.bare_newlines or default) == "normalise"

    @property
    def deadline_seconds(self) -> float:
        """`transaction_deadline_seconds` with its default, which depends on the role."""
        return self.transaction_deadline_seconds or (80 if self.role == "proxy" else 540)

    @model_validator(mode="before")
    @classmethod
    def _submission_is_outbound(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("role") == "submission":
            return {"direction": "outbound", **data}
        return data

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parse_socket_address(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> ListenerConfig:
        problems = list(self._contradictions())
        if problems:
            raise SettingsError(problems)
        return self

    def _contradictions(self) -> Iterator[Problem]:
        if self.trusted_authserv_ids and not self.trusted_peers and not self.address.startswith("unix:"):
            yield Problem(
                ("trusted_authserv_ids",),
                "anybody could write such a field: name the mail servers that do, and that remove forged ones, in "
                "trusted_peers",
            )
        if self.role == "inbound" and self.direction != "inbound":
            yield Problem(
                ("direction",), 'role "inbound" has direction "inbound"; outbound mail needs role = "filter" or "proxy"'
            )
        if self.role == "proxy" and self.protocol == "lmtp":
            yield Problem(
                ("protocol",), 'role "proxy" wants protocol = "smtp": before its queue Postfix speaks no LMTP'
            )
        yield from self._submission_contradictions()
        yield from self._tls_contradictions()
        yield from self._trust_contradictions()
        if not is_loopback(self.address) and not self.trust_network:
            yield from self._exposures()

    def _submission_contradictions(self) -> Iterator[Problem]:
        if self.role != "submission":
            for key in _SUBMISSION_ONLY:
                if getattr(self, key) != type(self).model_fields[key].default:
                    yield Problem((key,), f'nobody logs in here; {key} is for role = "submission"')
            return
        if self.protocol == "lmtp":
            yield Problem(("protocol",), 'role "submission" wants protocol = "smtp": mail programs speak no LMTP')
        if self.direction != "outbound":
            yield Problem(("direction",), "what people submit is outbound: leave direction out")
        if self.auth_without_tls and not is_loopback(self.address):
            yield Problem(
                ("auth_without_tls",),
                f"passwords would come to {self.address} in the clear: listen on loopback or a UNIX socket, behind "
                "something that speaks TLS",
            )
        if self.tls == "none" and not self.auth_without_tls:
            yield Problem(
                ("tls",),
                'passwords need encryption: set tls = "starttls" (port 587) or "implicit" (port 465) with '
                "tls_certificate; behind something that speaks TLS, set auth_without_tls = true",
            )

    def _tls_contradictions(self) -> Iterator[Problem]:
        if self.tls == "none":
            for key in ("tls_certificate", "tls_key", "tls_client_ca"):
                if getattr(self, key) is not None:
                    yield Problem((key,), f'{key} is of no use with tls = "none"; set tls = "starttls"')
            return
        if self.tls_certificate is None:
            yield Problem(("tls",), f'tls = "{self.tls}" needs tls_certificate, and tls_key if that is another file')
        if self.tls_client_ca is not None and self.tls == "starttls":
            yield Problem(
                ("tls_client_ca",), 'clients could leave TLS out; certificates need tls = "required" or "implicit"'
            )

    def _trust_contradictions(self) -> Iterator[Problem]:
        for key in ("trusted_peers", "trusted_proxies"):
            everyone = [n for n in getattr(self, key) if ipaddress.ip_network(n, strict=False).prefixlen < 4]
            if everyone and not self.trust_everyone:
                yield Problem(
                    (key,),
                    f"with {everyone[0]} everybody would be trusted (an open relay on a filter or proxy listener); "
                    "name your own servers' networks, or set trust_everyone = true",
                )
        is_unix = self.address.startswith("unix:")
        if self.role in BEHIND_A_MAIL_SERVER and not self.trusted_peers and not is_unix:
            yield Problem(
                ("role",), f'role "{self.role}" takes mail for any domain: name the mail servers in trusted_peers'
            )
        if self.xclient and not self.trusted_peers and not is_unix:
            yield Problem(("xclient",), "nobody may use it: name the mail servers in trusted_peers")
        if self.proxy_protocol and not self.trusted_proxies and not is_unix:
            yield Problem(("proxy_protocol",), "nobody may send the header: name the load balancers in trusted_proxies")
        if self.trusted_proxies and not self.proxy_protocol:
            yield Problem(("trusted_proxies",), "of no use without proxy_protocol = true")

    def _exposures(self) -> Iterator[Problem]:
        """What beyond loopback nothing but an address would protect."""
        what = f'role "{self.role}"' if self.role in BEHIND_A_MAIL_SERVER else "xclient" if self.xclient else ""
        if what and self.tls_client_ca is None:
            yield Problem(
                ("address",),
                f"{what} on {self.address} can be reached from the network: listen on loopback or a UNIX socket, "
                "demand certificates (tls_client_ca), or set trust_network = true",
            )
        if self.proxy_protocol:
            yield Problem(
                ("address",),
                f"proxy_protocol on {self.address} can be reached from the network, and the header comes before any "
                "certificate: listen on loopback or a UNIX socket, or set trust_network = true",
            )
