"""Every setting of the gateway, documented beside its field; listeners and next hops have files of their own.

Nothing here reads a file or opens anything. Relative paths are taken from the working directory of the process.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
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

from gateway.config.addresses import parse_socket_address
from gateway.config.client_setup import ClientSetupConfig
from gateway.config.domains import DomainsConfig
from gateway.config.listener import ListenerConfig
from gateway.config.next_hop import NextHopConfig
from gateway.config.problems import (
    Problem,
    SettingsError,
    Source,
    check_local_parts,
    check_quoted_domains,
    contradictions,
)
from gateway.config.section import DnsServers, FilePath, Networks, Section
from gateway.mail.address import AddressError, normalise_domain

WEB = "web"
"""The web server's name where listeners are named: in running.json, and as FileDescriptorName= of a systemd socket."""
SOCKETMAP = "socketmap"
"""The name, in the same places, of what answers Postfix's look-ups."""


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
    retention_days: float = Field(
        8, gt=0, description="how long unfinished recipients, and keys of done jobs, are kept (senders retry for 5)"
    )
    unconfirmed_hours: float = Field(24, gt=0, description="how long finished recipients wait for a lost reply")


class TraceConfig(Section):
    """What happened to each message."""

    retention_days: float = Field(14, gt=0, description="traces older than this are deleted")


class HeldConfig(Section):
    """Mail that a rule holds for a person's decision."""

    retention_days: float = Field(
        30, gt=0, description="decisions older than this are forgotten; what waits for one never is"
    )


class AuditConfig(Section):
    """Who changed what in the directory."""

    retention_days: float = Field(
        0, ge=0, description="audit entries older than this are deleted; 0 keeps them for ever"
    )


class DnsConfig(Section):
    """DNS look-ups."""

    nameservers: DnsServers = Field([], description='resolvers as "address" or "address:port"; empty: the system\'s')
    treat_as_public: Networks = Field([], description="networks to be taken for public in tests")
    second_nameservers: DnsServers = Field(
        [], description="resolvers outside that must agree before a domain's ownership passes; empty: not asked"
    )
    authorities: dict[str, DnsServers] = Field(
        {}, description="zones of a private installation, and the servers to ask instead of those that NS names"
    )
    never_ask: Networks = Field([], description="own networks to which no claimed domain may make the gateway send")


class LogConfig(Section):
    """Log lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important line that is shown"
    )
    format: Literal["text", "json"] = Field(
        "text", description="text: key=value for people; json: one object a line for machines; the same fields"
    )


def _optional_address(address: str) -> str:
    if address:
        parse_socket_address(address)
    return address


class WebConfig(Section):
    """The desk's web server: `/metrics`, `/healthz` and `/livez`. It asks nobody who they are: keep it on loopback."""

    address: Annotated[str, AfterValidator(_optional_address)] = Field(
        "",
        description='where it listens, for example "127.0.0.1:8080"; port 0 takes a free one; empty: there is none',
        json_schema_extra={"allowed": '"host:port", "[ipv6]:port" or "unix:/path"'},
    )


class SocketmapConfig(Section):
    """Answers to Postfix, which asks who exists and who may send (socketmap_table(5)). It asks nobody who they are."""

    address: Annotated[str, AfterValidator(_optional_address)] = Field(
        "",
        description='where Postfix asks, for example "127.0.0.1:10030"; keep it on loopback; empty: nowhere',
        json_schema_extra={"allowed": '"host:port", "[ipv6]:port" or "unix:/path"'},
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
    audit: AuditConfig = Field(default_factory=AuditConfig)
    held: HeldConfig = Field(default_factory=HeldConfig)
    dns: DnsConfig = Field(default_factory=DnsConfig)
    domains: DomainsConfig = Field(default_factory=DomainsConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    web: WebConfig = Field(default_factory=WebConfig)
    socketmap: SocketmapConfig = Field(default_factory=SocketmapConfig)
    client_setup: ClientSetupConfig = Field(default_factory=ClientSetupConfig)
    plugin: dict[str, dict[str, Any]] = Field({}, description="[plugin.NAME]: the settings of one plugin")

    _source: Source | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        problems = list(
            contradictions(
                self.plugins,
                [(listener.name, listener.address) for listener in self.listeners],
                {name: getattr(hop, "addresses", ()) for name, hop in self.next_hops.items()},
                {role: getattr(self.routing, role) for role in ("hosted", "outbound", "own")},
            )
        )
        problems += [
            Problem(
                ("listener", index, "trusted_authserv_ids"),
                f'"{self.server.hostname}" is server.hostname: fields in our own name are removed as forged; '
                "give the gateway or the server in front another name",
            )
            for index, listener in enumerate(self.listeners)
            if self.server.hostname in listener.trusted_authserv_ids
        ]
        problems += self._service_contradictions()
        if problems:
            raise SettingsError(problems)
        return self

    def _service_contradictions(self) -> Iterator[Problem]:
        """What else listens must have names and addresses that no listener has."""
        services = {name: address for name, address in self.services.items() if not address.endswith(":0")}
        if len(set(services.values())) < len(services):
            yield Problem((SOCKETMAP, "address"), f"{WEB}.address is {self.web.address} too; set another")
        for index, listener in enumerate(self.listeners):
            for name, address in services.items():
                if listener.address == address:
                    yield Problem(
                        (name, "address"), f'listener "{listener.name}" has the address {address}; set another'
                    )
            if listener.name in self.services:
                text = f'"{listener.name}" is the name of the section [{listener.name}]; call the listener another'
                yield Problem(("listener", index, "name"), text)

    @property
    def services(self) -> dict[str, str]:
        """What listens beside the listeners: its address by its name."""
        named = {WEB: self.web.address, SOCKETMAP: self.socketmap.address}
        return {name: address for name, address in named.items() if address}

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
    def gateway_name(self) -> str:
        """What records of owners call this gateway."""
        return self.domains.gateway or self.server.hostname

    @property
    def own_names(self) -> frozenset[str]:
        """Names that nobody may claim: what the gateway is called, and those that are reserved."""
        mx_hosts = (name.lower().removesuffix(".") for name in self.server.mx_hosts)
        return frozenset({self.server.hostname, self.gateway_name, *mx_hosts, *self.domains.reserved})

    @property
    def spool(self) -> Path:
        return self.server.state_dir / "spool"

    def listener(self, name: str) -> ListenerConfig | None:
        return next((listener for listener in self.listeners if listener.name == name), None)
