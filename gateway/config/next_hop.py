"""The settings of one next hop: `[next_hop.NAME]`, by its kind."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.config.problems import Problem, SettingsError
from gateway.config.section import FilePath, Section


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
        description="where it listens; a name may have several addresses",
        json_schema_extra={"allowed": '"host:port", "[ipv6]:port" or "unix:/path"'},
    )
    fallback_addresses: list[str] = Field(
        [], description="further addresses of the same next hop, tried in this order where the first takes no mail"
    )
    cool_down_seconds: float = Field(
        60, gt=0, description="how long an address that took no connection comes after the others"
    )
    connections: int = Field(20, ge=1, description="open connections of one worker to this next hop")
    tls: Literal["none", "opportunistic", "required"] = Field(
        "none",
        description="opportunistic: encrypt where it is offered, unchecked, else plain text; "
        "required: encrypt and check the certificate, else the mail waits",
    )
    tls_implicit: bool = Field(False, description="TLS from the first byte (port 465) instead of STARTTLS")
    tls_name: str = Field("", description="name in its certificate; empty: the host of the address")
    tls_ca_file: FilePath | None = Field(
        None, description="PEM file with the certificates to trust for it; empty: the system's"
    )
    tls_certificate: FilePath | None = Field(None, description="PEM file with our certificate, if it asks for one")
    tls_key: FilePath | None = Field(None, description="PEM file with the key of it; empty: in tls_certificate")
    user: str = Field("", description="login at a smart host; empty: none", pattern=r"^[^\x00-\x1f\x7f]*$")
    password_file: FilePath | None = Field(
        None, description="file (mode 0600) with the password of user; read at each login"
    )
    login_without_tls: bool = Field(False, description="send the password in plain text beyond this machine")
    chunking: Literal["never", "large", "always"] = Field(
        "large", description="messages that go by BDAT (RFC 3030) where it is offered; large: above 256 KiB"
    )
    xforward: bool = Field(True, description="pass the original client on by XFORWARD where the hop offers it")
    connect_timeout_seconds: float = Field(
        30, gt=0, description="until an address is ready for mail: greeting, TLS and login included"
    )
    reply_timeout_seconds: float = Field(300, gt=0, description="for one reply before the final dot")
    data_done_timeout_seconds: float = Field(600, gt=0, description="for the reply to the final dot")
    idle_seconds: float = Field(60, gt=0, description="an unused connection is closed after this time")

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them, in the order in which they are tried."""
        return (self.address, *self.fallback_addresses)

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parse_socket_address(value)
        return value

    @field_validator("fallback_addresses")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        problems: list[Problem] = []
        for index, address in enumerate(value):
            try:
                parse_socket_address(address)
            except ValueError as error:
                problems.append(Problem((index,), str(error)))
        if problems:
            raise SettingsError(problems)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*self._contradictions_of_tls(), *self._contradictions_of_login()]
        for index, address in enumerate(self.fallback_addresses):
            if address in self.addresses[: index + 1]:
                problems.append(Problem(("fallback_addresses", index), f"{address} is named twice; once is enough"))
        if problems:
            raise SettingsError(problems)
        return self

    def _contradictions_of_tls(self) -> Iterator[Problem]:
        if self.tls != "required":
            for key in ("tls_implicit", "tls_name", "tls_ca_file"):
                if getattr(self, key):
                    yield Problem((key,), f'without tls = "required" nothing is checked; set it, or remove {key}')
        elif not self.tls_name and any(address.startswith("unix:") for address in self.addresses):
            yield Problem(("tls_name",), "a UNIX socket has no host name: say which name its certificate has")
        if self.tls_certificate and self.tls == "none":
            yield Problem(("tls_certificate",), 'tls = "none" shows nobody a certificate; set tls, or remove it')
        if self.tls_key and not self.tls_certificate:
            yield Problem(("tls_key",), "a key without tls_certificate; name the certificate as well")

    def _contradictions_of_login(self) -> Iterator[Problem]:
        if not self.user or self.password_file is None:
            if self.user:
                yield Problem(("user",), "a user without password_file; name the file that holds the password")
            if self.password_file is not None:
                yield Problem(("password_file",), "a password without user; name the user")
            return
        if self.tls == "required" or self.login_without_tls:
            return
        for address in self.addresses:
            if not is_loopback(address):
                yield Problem(
                    ("tls",),
                    f"the password would go to {address} in the clear, or to whoever poses as it: "
                    'set tls = "required", or login_without_tls = true',
                )
                return


class SmtpNextHopConfig(_ClientNextHopConfig):
    """Another mail server, by SMTP."""

    kind: Literal["smtp"] = Field(description="what the next hop is; it decides which other keys there are")


class LmtpNextHopConfig(_ClientNextHopConfig):
    """A mail store, by LMTP (RFC 2033)."""

    kind: Literal["lmtp"] = Field(description="what the next hop is; it decides which other keys there are")


NextHopConfig = Annotated[MaildirNextHopConfig | SmtpNextHopConfig | LmtpNextHopConfig, Field(discriminator="kind")]
