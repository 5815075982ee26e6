"""What must be right before a worker serves, beyond single settings: plugins that load, a spool that takes files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gateway.app import Gateway
from gateway.config.models import Config
from gateway.errors import StartupError


async def check_plugins(config: Config) -> tuple[str, ...]:
    """Load every plugin of the chain and let it go again. Their names. Raises `ConfigError` with every problem."""
    gateway = Gateway(config, role="cli", source=config.source.name if config.source else "configuration")
    try:
        return tuple(plugin.name for plugin in gateway.plugins.plugins)
    finally:
        await gateway.stop()


def check_spool(spool: Path) -> None:
    """Make sure that a message can be spilled into `spool`. Raises `StartupError`."""
    try:
        os.close(os.open(spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        raise StartupError(f"the spool {spool} is missing; `stellwerk serve` makes it") from None
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR}:
            raise StartupError(
                f"the spool {spool} lies on a file system without O_TMPFILE; "
                "put server.state_dir on ext4, XFS, btrfs or tmpfs"
            ) from None
        raise StartupError(
            f"the spool {spool} takes no files ({error.strerror}); it must belong to user {os.geteuid()} with mode 0700"
        ) from None
