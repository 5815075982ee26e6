"""The configuration of a gateway that owners prove domains to."""

from __future__ import annotations

from pathlib import Path

from gateway.config.models import Config
from tests.core.gateways import config


def installation(tmp_path: Path, language: str = "en", *plugins: str) -> Config:
    """Called mx1.gateway.test, which is its MX host too; its operator is operator@gateway.test."""
    tables = f'[domains]\nlabel = "mailgw"\noperator = "operator@gateway.test"\nlanguage = "{language}"\n'
    made = config(tmp_path, *plugins, tables=tables)
    server = made.server.model_copy(update={"mx_hosts": ["mx1.gateway.test"], "hostname": "mx1.gateway.test"})
    return made.model_copy(update={"server": server})
