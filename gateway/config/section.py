"""What all tables of the configuration have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.config.problems import check_dns_servers, check_networks


class Section(BaseModel):
    """A table of the configuration file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, populate_by_name=True
    )


FilePath = Annotated[Path, Field(strict=False)]
Networks = Annotated[list[str], AfterValidator(check_networks)]
DnsServers = Annotated[list[str], AfterValidator(check_dns_servers)]
