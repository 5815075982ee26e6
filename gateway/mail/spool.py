"""What a spool that takes no message means: is it full or unusable, and what can an admin do. It touches no disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk that is all right but has no room for this file: 452 4.3.1 on the wire; others are 451 4.3.0."""


def spool_problem(spool: Path, error: OSError) -> str:
    """Path, cause and remedy on one line."""
    where, cause = f"the spool {spool}", error.strerror or str(error)
    match error.errno:
        case errno.ENOENT:
            return f"{where} is missing ({cause}); `stellwerk serve` makes it when it starts"
        case errno.ENOTDIR:
            return f"{where} is no directory ({cause}); move away what stands there and restart `stellwerk serve`"
        case errno.EACCES | errno.EPERM:
            return f"{where} takes no files ({cause}); it must belong to user {os.geteuid()} with mode 0700"
        case errno.EOPNOTSUPP | errno.EISDIR:
            return (
                f"{where} lies on a file system without O_TMPFILE ({cause}); "
                "put server.state_dir on ext4, XFS, btrfs or tmpfs"
            )
        case errno.EROFS:
            return f"{where} lies on a file system that is mounted read-only ({cause}); mount it writable"
        case errno.EFBIG:
            return (
                f"{where} takes no file of that size ({cause}); raise the limit of file sizes (LimitFSIZE=, ulimit -f)"
            )
        case errno.ENOSPC | errno.EDQUOT:
            return f"{where} has no room ({cause}); make room there; `stellwerk doctor` shows how much is free"
        case errno.EMFILE | errno.ENFILE:
            return f"{where} takes no more files ({cause}); raise the limit of open files (LimitNOFILE=, ulimit -n)"
        case _:
            return (
                f"{where} takes no files ({cause}); look at its disk and the kernel's log, then run `stellwerk doctor`"
            )
