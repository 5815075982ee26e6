"""Checks of files and directories for `stellwerk doctor`: rights and room. They create and change nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.checking import check_spool
from gateway.config.models import Config
from gateway.doctor.findings import Found, failed, ok, warning
from gateway.errors import StartupError
from gateway.rights import cannot_make_files_in, described, own_name
from gateway.store.engine import parse_url, sqlite_path
from gateway.supervisor.state import secret_problem

_MANY_MESSAGES = 10
"""Room for fewer than so many of the largest messages is doubtful."""


def state_findings(config: Config) -> Iterator[Found]:
    """The state directory: its mode, the spool, the secret."""
    directory = config.server.state_dir.absolute()
    if not _exists(directory):
        yield warning(f"{directory} is missing; the first `stellwerk serve` makes it")
        return
    if problem := cannot_make_files_in(directory):
        yield failed(problem)
        return
    troubles = list(_troubles(config, directory))
    yield from troubles or [ok(f"{directory}: spool and secret are there, and private")]


def _troubles(config: Config, directory: Path) -> Iterator[Found]:
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        yield warning(f"{directory} is open to others (mode {mode:04o}); run: chmod 700 {directory}")
    spool = config.spool.absolute()
    if problem := cannot_make_files_in(spool) if _exists(spool) else None:
        yield failed(problem)
    else:
        try:
            check_spool(spool)
        except StartupError as error:
            yield failed(str(error))
    secret = config.secret_path.absolute()
    try:
        if problem := secret_problem(secret):
            yield failed(problem)
    except FileNotFoundError:
        yield warning(f"{secret} is missing; the first `stellwerk serve` makes it")
    except OSError as error:
        where = described(secret) if _exists(secret) else str(secret)
        yield failed(
            f"user {own_name()} cannot read {where}: {error.strerror}; run doctor as the user that workers run as, "
            f"or run: chown {own_name()} {secret}"
        )


def space_findings(config: Config, maildirs: dict[str, Path]) -> Iterator[Found]:
    """Free space of every file system that mail passes through. `maildirs`: their roots by the next hop's name."""
    places = {"state_dir": config.server.state_dir.absolute(), "spool": config.spool.absolute()}
    if (database := sqlite_path(parse_url(config.store.url))) is not None:
        places["database"] = database
    places |= {f"next hop {name}": root for name, root in maildirs.items()}
    largest = max(one.max_message_bytes or config.limits.max_message_bytes for one in config.listeners)
    by_device: dict[int, tuple[Path, list[str]]] = {}
    for what, path in places.items():
        there = next(place for place in (path, *path.parents) if _exists(place))
        by_device.setdefault(there.stat().st_dev, (there, []))[1].append(what)
    for there, whose in by_device.values():
        yield _room(there, ", ".join(whose), largest)


def free_bytes(path: Path) -> tuple[int, bool]:
    """What this process may still write on the file system of `path`, and whether it may still make files there."""
    found = os.statvfs(path)
    # Some file systems (btrfs) have no fixed number of files and say 0 of 0.
    return found.f_bavail * found.f_frsize, found.f_favail > 0 or found.f_files == 0


def _room(path: Path, whose: str, largest: int) -> Found:
    free, has_inodes = free_bytes(path)
    text = f"{path} ({whose}) has {free / 1e6:,.0f} MB free"
    if not has_inodes:
        return failed(f"{path} ({whose}) has no inode left for another file; delete files there")
    if free < largest:
        return failed(f"{text}, less than one message may have ({largest / 1e6:,.0f} MB); make room: mail is deferred")
    if free < _MANY_MESSAGES * largest:
        return warning(f"{text}, room for {free // largest} messages of the largest size; make room")
    return ok(text)


def _exists(path: Path) -> bool:
    """Whether this process can see it: a directory that it cannot enter shows nothing."""
    try:
        path.stat()
    except OSError:
        return False
    return True
