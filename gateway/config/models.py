"""Every setting of the gateway, documented beside its field. Nothing here reads a file or opens anything.

Relative paths are taken from the working directory of the process.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.config.problems import (
    Problem,
    SettingsError,
    Source,
    check_local_parts,
    check_networks,
    check_quoted_domains,
    contradictions,
)
from gateway.mail.address import AddressError, normalise_domain


class Section(BaseModel):
    """A table of the configuration file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, populate_by_name=True
    )


FilePath = Annotated[Path, Field(strict=False)]
Networks = Annotated[list[str], AfterValidator(check_networks)]


class ServerConfig(Section):
    """The gateway itself."""

    hostname: str = Field(
        default_factory=socket.gethostname,
        description="name in the greeting, in Received and in notifications",
        json_schema_extra={"default": "this machine's name"},
    )
    state_dir: FilePath = Field(
        Path("var"), description="directory for the spool, the database and the gateway's secret"
    )
    secret_file: FilePath | None = Field(
        None,
        description="file with the key that signs the gateway's own headers; empty: state_dir/secret, made at start",
    )
    mx_hosts: list[str] = Field(
        [], description="names that domains point their MX at; mail for them must not loop back"
    )
    workers: int = Field(1, ge=1, le=64, description="SMTP processes; with SQLite leave it at 1")
    drain_seconds: float = Field(30, ge=0, description="how long running transactions may finish at stop or reload")
    watchdog_seconds: float = Field(
        30, ge=1, description="a worker whose event loop stands still for longer is ended and replaced"
    )
    start_seconds: float = Field(
        300, gt=0, description="a worker that is not ready by then counts as failed (migrations run in this time)"
    )
    user: str = Field("", description="user that workers run as when started by root; empty keeps the present user")

    @field_validator("hostname")
    @classmethod
    def _is_a_domain(cls, value: str) -> str:
        try:
            return normalise_domain(value)
        except AddressError as error:
            raise ValueError(f"expected a host name: {error}") from None


class StoreConfig(Section):
    """The database."""

    url: str = Field(
        "sqlite:///var/stellwerk.db",
        repr=False,
        pattern=r"^(sqlite:///|postgresql(\+psycopg)?://).",
        description="SQLAlchemy URL of the database",
        json_schema_extra={"allowed": '"sqlite:///path" or "postgresql://user@host/name"'},
    )
    auto_upgrade: bool = Field(False, description="migrate a database of an older revision at start")
    busy_timeout_seconds: float = Field(5, gt=0, description="how long to wait for a database that others hold locked")


class ListenerConfig(Section):
    """One address that takes mail."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]*$",
        description="name in logs, traces and on the command line",
        json_schema_extra={"allowed": "lower-case letters, digits, - and _, beginning with a letter"},
    )
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="lmtp answers once per recipient after the dot")
    role: Literal["inbound", "filter"] = Field(
        "inbound", description="inbound: from anywhere, hosted domains only; filter: behind a trusted MTA's queue"
    )
    direction: Literal["inbound", "outbound"] = Field(
        "inbound", description="direction of the mail on a filter listener; never guessed from the sender"
    )
    address: str = Field(
        description="where it listens; a UNIX socket has mode 0660",
        json_schema_extra={"allowed": '"host:port", "[ipv6]:port" or "unix:/path"'},
    )
    tls: Literal["none"] = Field("none", description="only none: this version speaks no TLS")
    trusted_peers: Networks = Field(
        [], description="networks whose clients may use XFORWARD and are free of per-client limits"
    )
    trust_everyone: bool = Field(False, description="allow trusted_peers that cover the whole Internet")
    bare_newlines: Literal["reject", "normalise"] | None = Field(
        None, description="stray CR, LF and NUL: default reject on inbound, normalise on filter"
    )
    trust_network: bool = Field(
        False, description="allow a filter listener beyond loopback: nothing but their address proves who the peers are"
    )
    max_message_bytes: int | None = Field(None, gt=0, description="overrides limits.max_message_bytes here")
    max_recipients: int = Field(1000, ge=100, description="recipients of one transaction (RFC 5321 4.5.3.1.8: 100)")
    max_connections: int = Field(1000, ge=1, description="open connections of one worker on this listener")
    max_connections_per_client: int = Field(20, ge=1, description="open connections of one untrusted address")
    max_errors: int = Field(20, ge=1, description="refused or unknown commands before the connection is closed")
    max_idle_commands: int = Field(
        100, ge=10, description="commands in a row that bring no mail (NOOP, RSET, VRFY, ...)"
    )
    command_timeout_seconds: float = Field(300, gt=0, description="for one whole command line (RFC 5321 4.5.3.2.7)")
    data_timeout_seconds: float = Field(
        180, gt=0, description="between two blocks of message data (RFC 5321 4.5.3.2.5)"
    )
    min_data_bytes_per_second: int = Field(
        500, ge=0, description="slower message data is broken off; 0 switches it off"
    )
    transaction_deadline_seconds: float = Field(
        540, gt=0, description="after the final dot: what has not begun by then is deferred"
    )
    greeting_delay_ms: int = Field(
        100,
        ge=0,
        le=10_000,
        description="wait before the greeting for clients that speak too early; trusted peers: none",
    )

    @property
    def normalises_newlines(self) -> bool:
        return (self.bare_newlines or ("normalise" if self.role == "filter" else "reject")) == "normalise"

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
        everyone = [n for n in self.trusted_peers if ipaddress.ip_network(n, strict=False).prefixlen < 4]
        if everyone and not self.trust_everyone:
            yield Problem(
                ("trusted_peers",),
                f"with {everyone[0]} everybody would be trusted (an open relay on a filter listener); "
                "name your mail servers' networks, or set trust_everyone = true",
            )
        if self.role == "inbound" and self.direction != "inbound":
            yield Problem(("direction",), 'role "inbound" has direction "inbound"; outbound mail needs role = "filter"')
        if self.role == "filter" and not self.address.startswith("unix:"):
            if not self.trusted_peers:
                yield Problem(
                    ("role",), 'role "filter" takes mail for any domain: name the mail servers in trusted_peers'
                )
            if not is_loopback(self.address) and not self.trust_network:
                yield Problem(
                    ("address",),
                    f'role "filter" on {self.address} can be reached from the network, and this version speaks no TLS: '
                    "listen on loopback or a UNIX socket, or set trust_network = true",
                )


class MaildirNextHopConfig(Section):
    """Final delivery into Maildir folders of this machine."""

    kind: Literal["maildir"] = Field(description="what the next hop is; it decides which other keys there are")
    path: str = Field(description="folder of a mailbox; {domain} and {local} are filled in")
    line_ends: Literal["lf", "crlf"] = Field("lf", description="line ends of the files")
    file_mode: int = Field(
        0o600,
        ge=0,
        le=0o777,
        description="permissions of message files",
        json_schema_extra={"allowed": "an octal number up to 0o777", "default": "0o600"},
    )
    directory_mode: int = Field(
        0o700,
        ge=0,
        le=0o777,
        description="permissions of new folders",
        json_schema_extra={"allowed": "an octal number up to 0o777", "default": "0o700"},
    )
    owner: str = Field("", description="user:group of files and folders; empty keeps the worker's own")
    subaddress_separator: str = Field(
        "+",
        max_length=1,
        description="anna+lists@ goes to anna's folder; empty: never",
        json_schema_extra={"allowed": "one character or none"},
    )

    @field_validator("path")
    @classmethod
    def _names_the_mailbox(cls, value: str) -> str:
        fields = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
        if unknown := sorted(fields - {"domain", "local"}):
            raise ValueError(f"{{{unknown[0]}}} is unknown here; expected {{domain}} and {{local}}")
        if "local" not in fields:
            raise ValueError("expected {local} in it, else all mailboxes would share one folder")
        return value


class _ClientNextHopConfig(Section):
    address: str = Field(
        description="where it listens", json_schema_extra={"allowed": '"host:port", "[ipv6]:port" or "unix:/path"'}
    )
    connections: int = Field(20, ge=1, description="open connections of one worker to this next hop")
    xforward: bool = Field(True, description="pass the original client on by XFORWARD where the hop offers it")
    connect_timeout_seconds: float = Field(30, gt=0, description="until the greeting")
    reply_timeout_seconds: float = Field(300, gt=0, description="for one reply before the final dot")
    data_done_timeout_seconds: float = Field(600, gt=0, description="for the reply to the final dot")
    idle_seconds: float = Field(60, gt=0, description="an unused connection is closed after this time")

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parse_socket_address(value)
        return value


class SmtpNextHopConfig(_ClientNextHopConfig):
    """Another mail server, by SMTP."""

    kind: Literal["smtp"] = Field(description="what the next hop is; it decides which other keys there are")


class LmtpNextHopConfig(_ClientNextHopConfig):
    """A mail store, by LMTP (RFC 2033)."""

    kind: Literal["lmtp"] = Field(description="what the next hop is; it decides which other keys there are")


NextHopConfig = Annotated[MaildirNextHopConfig | SmtpNextHopConfig | LmtpNextHopConfig, Field(discriminator="kind")]


def _hosted_domain(name: str) -> str:
    try:
        return normalise_domain(name)
    except AddressError as error:
        raise ValueError(f"expected a domain: {error}") from None


HostedDomain = Annotated[str, AfterValidator(_hosted_domain)]


class RoutingConfig(Section):
    """Which next hop takes what. Values are names of [next_hop.NAME]."""

    hosted: str = Field("mail", description="next hop for hosted mailboxes")
    outbound: str = Field("", description="next hop for everybody else; empty: such mail is refused")
    own: str = Field("", description="next hop for mail of the gateway itself; empty: as routing.outbound, else hosted")
    max_hops: int = Field(50, ge=1, description="longest line of redirections of one recipient")
    max_recipients: int = Field(1000, ge=1, description="most final recipients that one message may grow to")


class HostedConfig(Section):
    """A static list of mailboxes of the domain NAME, for tests and demonstrations: `[hosted."example.test"]`."""

    mailboxes: Annotated[list[str], AfterValidator(check_local_parts)] = Field(
        description='local parts that take mail; ["*"] takes every one'
    )


class LimitsConfig(Section):
    """Limits on single messages."""

    max_message_bytes: int = Field(
        36_700_160, ge=65_536, description="announced SIZE; 25 MiB of attachments, base64-coded, with headers"
    )
    spill_bytes: int = Field(1_048_576, ge=4096, description="a larger message is kept in a file, not in memory")
    max_line_bytes: int = Field(0, ge=0, description="longest line of message data; 0: no limit, never folded")
    max_received: int = Field(50, ge=10, description="more Received fields are a mail loop")


class JournalConfig(Section):
    """Protection against duplicates and losses across retries and crashes."""

    mode: Literal["all", "needed"] = Field(
        "all", description="needed leaves out messages with one step and no record: they keep SMTP's duplicate window"
    )
    join_seconds: float = Field(3600, gt=0, description="how long further recipients of the same message may join")
    unfinished_days: float = Field(8, gt=0, description="how long unfinished recipients are kept (senders retry for 5)")
    unconfirmed_hours: float = Field(24, gt=0, description="how long finished recipients wait for a lost reply")


class TraceConfig(Section):
    """What happened to each message."""

    keep_days: float = Field(14, gt=0, description="traces older than this are deleted")


class DnsConfig(Section):
    """DNS look-ups."""

    nameservers: list[str] = Field([], description='resolvers as "address" or "address:port"; empty: the system\'s')
    treat_as_public: Networks = Field([], description="networks to be taken for public in tests")


class LogConfig(Section):
    """Log lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important line that is shown"
    )


class PluginPolicyConfig(BaseModel):
    """What every [plugin.NAME] may set besides the plugin's own keys."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    on_error: Literal["tempfail", "skip"] | None = Field(None, description="what the plugin's failure does to the mail")
    timeout_seconds: float | None = Field(None, gt=0, description="for one call of one hook")
    mode: Literal["live", "shadow"] = Field("live", description="shadow: run on live mail, report, change nothing")


class Config(Section):
    """The whole configuration."""

    plugins: list[str] = Field([], description="the chain: order in every hook, and nothing else orders it")
    plugin_dir: FilePath | None = Field(None, description="directory with an admin's own plugin modules")
    server: ServerConfig = Field(default_factory=ServerConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    listeners: list[ListenerConfig] = Field(alias="listener", min_length=1, description="addresses that take mail")
    next_hops: dict[str, NextHopConfig] = Field(alias="next_hop", description="where mail is handed on to")
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    hosted: Annotated[dict[HostedDomain, HostedConfig], BeforeValidator(check_quoted_domains)] = Field(
        {}, description="static mailboxes by domain"
    )
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    journal: JournalConfig = Field(default_factory=JournalConfig)
    trace: TraceConfig = Field(default_factory=TraceConfig)
    dns: DnsConfig = Field(default_factory=DnsConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    plugin: dict[str, dict[str, Any]] = Field({}, description="[plugin.NAME]: the settings of one plugin")

    _source: Source | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        problems = list(
            contradictions(
                self.plugins,
                [(listener.name, listener.address) for listener in self.listeners],
                {name: getattr(hop, "address", "") for name, hop in self.next_hops.items()},
                {role: getattr(self.routing, role) for role in ("hosted", "outbound", "own")},
            )
        )
        if problems:
            raise SettingsError(problems)
        return self

    @property
    def source(self) -> Source | None:
        """The file this was read from; None for a configuration made in memory."""
        return self._source

    @property
    def secret_path(self) -> Path:
        """The file with the gateway's secret."""
        return self.server.secret_file or self.server.state_dir / "secret"

    @property
    def own_hop(self) -> str:
        """The next hop for mail of the gateway itself."""
        return self.routing.own or self.routing.outbound or self.routing.hosted

    @property
    def spool(self) -> Path:
        return self.server.state_dir / "spool"

    def listener(self, name: str) -> ListenerConfig | None:
        return next((listener for listener in self.listeners if listener.name == name), None)
