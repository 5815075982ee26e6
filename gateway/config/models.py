"""Every setting of the gateway, documented beside its field. Nothing here reads a file or opens anything.

Relative paths are taken from the working directory of the process.
"""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.mail.address import AddressError, normalise_domain


class Section(BaseModel):
    """A table of the configuration file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, populate_by_name=True)


class ServerConfig(Section):
    """The gateway itself."""

    hostname: str = Field(
        default_factory=socket.gethostname, description="name in the greeting, in Received and in notifications"
    )
    state_dir: Path = Field(Path("var"), description="directory for the spool, the database and the gateway's secret")
    mx_hosts: list[str] = Field(
        [], description="names that domains point their MX at; mail for them must not loop back"
    )
    workers: int = Field(1, ge=1, le=64, description="SMTP processes; with SQLite leave it at 1")
    drain_seconds: float = Field(30, ge=0, description="how long running transactions may finish at stop or reload")
    watchdog_seconds: float = Field(
        30, ge=1, description="a worker whose event loop stands still for longer is ended and replaced"
    )
    user: str = Field("", description="user that workers run as when started by root; empty keeps the present user")

    @field_validator("hostname")
    @classmethod
    def _is_a_domain(cls, value: str) -> str:
        try:
            return normalise_domain(value)
        except AddressError as error:
            raise ValueError(f"{value!r} is no host name: {error}") from None


class StoreConfig(Section):
    """The database."""

    url: str = Field("sqlite:///var/stellwerk.db", description="SQLAlchemy URL of the database")
    auto_upgrade: bool = Field(False, description="migrate a database of an older revision at start")
    busy_timeout_seconds: float = Field(5, gt=0, description="how long to wait for a database that others hold locked")


class ListenerConfig(Section):
    """One address that takes mail."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="name in logs, traces and on the command line")
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="lmtp answers once per recipient after the dot")
    role: Literal["inbound", "filter"] = Field(
        "inbound", description="inbound: from anywhere, hosted domains only; filter: behind a trusted MTA's queue"
    )
    direction: Literal["inbound", "outbound"] = Field(
        "inbound", description="direction of the mail on a filter listener; never guessed from the sender"
    )
    address: str = Field(description='"host:port", "[ipv6]:port" or "unix:/path" (mode 0660)')
    tls: Literal["none"] = Field("none", description="only none: this version speaks no TLS")
    trusted_peers: list[str] = Field(
        [], description="networks whose clients may use XFORWARD and are free of per-client limits"
    )
    trust_everyone: bool = Field(False, description="allow trusted_peers that cover the whole Internet")
    bare_newlines: Literal["reject", "normalise"] | None = Field(
        None, description="stray CR, LF and NUL: default reject on inbound, normalise on filter"
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

    @field_validator("trusted_peers")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parse_socket_address(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> ListenerConfig:
        everyone = [n for n in self.trusted_peers if ipaddress.ip_network(n, strict=False).prefixlen < 4]
        if everyone and not self.trust_everyone:
            raise ValueError(
                f"trusted_peers holds {everyone[0]}: everybody would be trusted (an open relay on a filter listener); "
                "name your mail servers' networks, or set trust_everyone = true"
            )
        if self.role == "inbound" and self.direction != "inbound":
            raise ValueError('role "inbound" has direction "inbound"; outbound mail needs role "filter"')
        if self.role == "filter" and not self.trusted_peers and not self.address.startswith("unix:"):
            raise ValueError('role "filter" takes mail for any domain: name the mail servers in trusted_peers')
        return self


class MaildirNextHopConfig(Section):
    """Final delivery into Maildir folders of this machine."""

    kind: Literal["maildir"]
    path: str = Field(description="folder of a mailbox; {domain} and {local} are filled in")
    line_ends: Literal["lf", "crlf"] = Field("lf", description="line ends of the files")
    file_mode: int = Field(0o600, description="permissions of message files")
    directory_mode: int = Field(0o700, description="permissions of new folders")
    owner: str = Field("", description="user:group of files and folders; empty keeps the worker's own")
    subaddress_separator: str = Field("+", max_length=1, description="anna+lists@ goes to anna's folder; empty: never")


class _ClientNextHopConfig(Section):
    address: str = Field(description='"host:port", "[ipv6]:port" or "unix:/path"')
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

    kind: Literal["smtp"]


class LmtpNextHopConfig(_ClientNextHopConfig):
    """A mail store, by LMTP (RFC 2033)."""

    kind: Literal["lmtp"]


NextHopConfig = Annotated[MaildirNextHopConfig | SmtpNextHopConfig | LmtpNextHopConfig, Field(discriminator="kind")]


class RoutingConfig(Section):
    """Which next hop takes what. Values are names of [next_hop.NAME]."""

    hosted: str = Field("mail", description="next hop for hosted mailboxes")
    outbound: str = Field("", description="next hop for everybody else; empty: such mail is refused")
    own: str = Field("", description="next hop for mail of the gateway itself; empty: as routing.outbound, else hosted")
    max_hops: int = Field(50, ge=1, description="longest line of redirections of one recipient")
    max_recipients: int = Field(1000, ge=1, description="most final recipients that one message may grow to")


class HostedConfig(Section):
    """A static list of mailboxes of one domain."""

    mailboxes: list[str] = Field(description='local parts that take mail; ["*"] takes every one')


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
    ring: int = Field(1000, ge=10, description="stories that wait in memory for the writer at most")


class DnsConfig(Section):
    """DNS look-ups."""

    nameservers: list[str] = Field([], description='resolvers as "address" or "address:port"; empty: the system\'s')
    treat_as_public: list[str] = Field([], description="networks to be taken for public in tests")


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
    plugin_dir: Path | None = Field(None, description="directory with an admin's own plugin modules")
    server: ServerConfig = Field(default_factory=ServerConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    listeners: list[ListenerConfig] = Field(alias="listener", min_length=1, description="addresses that take mail")
    next_hops: dict[str, NextHopConfig] = Field(alias="next_hop", description="where mail is handed on to")
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    hosted: dict[str, HostedConfig] = Field({}, description="static mailboxes by domain")
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    journal: JournalConfig = Field(default_factory=JournalConfig)
    trace: TraceConfig = Field(default_factory=TraceConfig)
    dns: DnsConfig = Field(default_factory=DnsConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    plugin: dict[str, dict[str, Any]] = Field({}, description="[plugin.NAME]: the settings of one plugin")

    @field_validator("hosted")
    @classmethod
    def _hosted_domains(cls, value: dict[str, HostedConfig]) -> dict[str, HostedConfig]:
        try:
            return {normalise_domain(domain): hosted for domain, hosted in value.items()}
        except AddressError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        known = ", ".join(sorted(self.next_hops)) or "none"
        for role, name in (("hosted", self.routing.hosted), ("outbound", self.routing.outbound), ("own", self.own_hop)):
            if name and name not in self.next_hops:
                raise ValueError(f'routing.{role} = "{name}" is no next hop; there are: {known}')
        names = [listener.name for listener in self.listeners]
        if len(set(names)) != len(names):
            raise ValueError("two listeners have the same name")
        if len(set(self.plugins)) != len(self.plugins):
            raise ValueError("plugins names a plugin twice")
        return self

    @property
    def own_hop(self) -> str:
        """The next hop for mail of the gateway itself."""
        return self.routing.own or self.routing.outbound or self.routing.hosted

    @property
    def spool(self) -> Path:
        return self.server.state_dir / "spool"

    def listener(self, name: str) -> ListenerConfig | None:
        return next((listener for listener in self.listeners if listener.name == name), None)


def parse_socket_address(text: str) -> tuple[str, int] | Path:
    """`host:port` or `[ipv6]:port` as (host, port), `unix:/path` as a Path. Raises ValueError."""
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:"))
        if not path.is_absolute():
            raise ValueError(f'{text!r}: a UNIX socket is written "unix:/absolute/path"')
        return path
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f'{text!r}: expected "host:port", "[ipv6]:port" or "unix:/path"')
    return host, int(port)
