"""Whether this process may write at a path, and if not, what an admin runs. Nothing here changes anything."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def cannot_write(path: Path) -> str | None:
    """Why this process may not write to `path` (a file, or a directory in which it makes files), and what to do.

    A path that is missing is asked of the directory in which it would be made. None when it may.
    """
    path = path.absolute()
    there = Path("/")
    for place in (*reversed(path.parents), path):
        try:
            found = place.stat()
        except (FileNotFoundError, NotADirectoryError):
            break
        there = place
        if place != path and not stat.S_ISDIR(found.st_mode):
            return _no_directory(place)
        if place != path and not os.access(place, os.X_OK):
            return f"user {own_name()} cannot enter {described(place)}; run: chmod a+x {place}, or use another place"
    if os.access(there, os.W_OK | (os.X_OK if there.is_dir() else os.R_OK)):
        return None
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return f"{path} lies on a file system that is mounted read-only"
    if there != path:
        run = f"install -d -m 700 -o {own_name()} {path}"
        return f"user {own_name()} cannot create {path} in {described(there)}; run as root: {run}"
    run = f"chown -R {own_name()} {path}" if there.is_dir() else f"chown {own_name()} {path}"
    return f"user {own_name()} cannot write to {described(path)}; run: {run}"


def cannot_make_files_in(directory: Path) -> str | None:
    """As `cannot_write`, for a path that must be a directory where it exists."""
    if problem := cannot_write(directory):
        return problem
    return _no_directory(directory) if directory.exists() and not directory.is_dir() else None


def _no_directory(path: Path) -> str:
    return f"{path} is no directory; move away what stands there, or use another place"


def described(path: Path) -> str:
    """`/srv/mail (root:staff 0750)`. Raises OSError."""
    found = path.stat()
    return f"{path} ({user_name(found.st_uid)}:{_group_name(found.st_gid)} {stat.S_IMODE(found.st_mode):04o})"


def own_name() -> str:
    """The user this process runs as."""
    return user_name(os.geteuid())


def user_name(uid: int) -> str:
    """The user's name, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
