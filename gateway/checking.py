"""What must be right before a worker serves, beyond single settings: plugins that load, a spool that takes files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gateway.errors import StartupError


def check_spool(spool: Path) -> None:
    """Make sure that a message can be spilled into `spool`. Raises `StartupError`."""
    try:
        os.close(os.open(spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        raise StartupError(
            f"the spool {spool} is missing; `stellwerk serve` makes it, or: mkdir -m 700 {spool}"
        ) from None
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR}:
            raise StartupError(
                f"the spool {spool} lies on a file system without O_TMPFILE; "
                "put server.state_dir on ext4, XFS, btrfs or tmpfs"
            ) from None
        raise StartupError(
            f"the spool {spool} takes no files ({error.strerror}); make it writable for user {os.geteuid()}: "
            f"chown {os.geteuid()} {spool} && chmod 700 {spool}"
        ) from None
