"""The settings of one next hop: `[next_hop.NAME]`, by its kind."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, field_validator

from gateway.config.addresses import parse_socket_address
from gateway.config.section import Section


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
