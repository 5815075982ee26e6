"""What must be right before a worker serves, beyond single settings: plugins that load, files that can be written."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.app import Gateway
from gateway.config.models import Config
from gateway.errors import StartupError
from gateway.hooks.loader import LoadedPlugin
from gateway.mail.spool import spool_problem
from gateway.rights import cannot_write, own_name, user_name
from gateway.store.engine import parse_url, sqlite_path


async def check_plugins(config: Config) -> tuple[LoadedPlugin, ...]:
    """Load every plugin of the chain and let it go again. Raises `ConfigError` with every problem."""
    gateway = Gateway(config, role="cli", source=config.source.name if config.source else "configuration")
    try:
        return gateway.plugins.plugins
    finally:
        await gateway.stop()


def without_secret(config: Config) -> Config:
    """Nothing is signed here, and a secret that this user may not read is a finding, not the end."""
    server = config.server.model_copy(update={"secret_file": Path(os.devnull)})
    return config.model_copy(update={"server": server})


def check_spool(spool: Path) -> None:
    """Make sure that a message can be spilled into `spool`. Raises `StartupError`."""
    try:
        os.close(os.open(spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StartupError(spool_problem(spool, error)) from None


def store_files(url: str) -> list[Path]:
    """The SQLite file at `url` and its side files, as far as they are there; none for a database server."""
    path = sqlite_path(parse_url(url))
    if path is None:
        return []
    return [file for suffix in ("", "-wal", "-shm", ".lock") if (file := Path(f"{path}{suffix}")).exists()]


def check_store_files(url: str) -> None:
    """Make sure that this user may write an existing SQLite database. Raises `StartupError`."""
    path = sqlite_path(parse_url(url))
    if path is None:
        return
    try:
        is_there = path.parent.exists()
    except PermissionError:
        is_there = True
    if is_there and (problem := cannot_write(path.parent)):
        raise StartupError(problem)
    for file in store_files(url):
        if not os.access(file, os.R_OK | os.W_OK):
            raise StartupError(
                f"{file} belongs to {user_name(file.stat().st_uid)}, workers run as {own_name()}: "
                f"chown {own_name()} {path}*"
            )
