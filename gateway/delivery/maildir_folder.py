"""Files and directories of Maildirs: every one reached by descriptors, none by a path that someone could redirect.

Blocking calls for a worker thread. What stands in the file, and for whom, is decided in maildir.py.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LEFTOVER_SECONDS = 36 * 3600  # what the Maildir convention gives a writer before its file in tmp counts as abandoned
MAX_NAME_BYTES = 255
_ATTEMPTS = 100
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSAFE = re.compile(rb"[^a-z0-9_+=.-]")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class PerhapsStored(Exception):
    """The file was seen in `new` before the disk failed, and could not be taken back."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Modes of what is created, whatever the umask; `owner` is (uid, gid), None leaves it to the process."""

    file_mode: int = 0o600
    directory_mode: int = 0o700
    owner: tuple[int, int] | None = None

    def apply(self, descriptor: int, mode: int) -> None:
        os.fchmod(descriptor, mode)
        if self.owner is not None:
            os.fchown(descriptor, *self.owner)


def safe_segment(text: str) -> str:
    """`text` as the name of one directory: lower case, UTF-8, anything but `[a-z0-9_+=.-]` percent-encoded.

    A leading dot is encoded too, so that no name is hidden, `.` or `..`. Raises ValueError for a name too long to be
    one, and for none.
    """
    name = _UNSAFE.sub(lambda octet: b"%%%02X" % ord(octet[0]), text.lower().encode())
    if name.startswith(b"."):
        name = b"%2E" + name[1:]
    if not 0 < len(name) <= MAX_NAME_BYTES:
        raise ValueError(f"no file can have a name of {len(name)} bytes")
    return name.decode("ascii")


class UniqueNames:
    """File names that no other delivery has: time, process, count and host, as the Maildir convention has them."""

    def __init__(self, hostname: str, clock_ns: Callable[[], int]) -> None:
        self._host = hostname.replace("/", r"\057").replace(":", r"\072")
        self._clock_ns = clock_ns
        self._count = itertools.count(1)

    def __call__(self) -> str:
        seconds, rest = divmod(self._clock_ns(), 1_000_000_000)
        return f"{seconds}.M{rest // 1000:06d}P{os.getpid()}Q{next(self._count)}.{self._host}"


class KnownDirectories:
    """Directories whose entry in the directory above is known to be on the disk, since this process synced that one.

    That a directory exists says nothing yet: whoever made it may have died, or seen the disk fail, before syncing. So
    every directory costs one sync when it is met first, and none afterwards. Threads may share it.
    """

    def __init__(self, most: int = 65_536) -> None:
        self._most = most
        self._known: set[tuple[int, int]] = set()

    def __contains__(self, descriptor: int) -> bool:
        return _identity(descriptor) in self._known

    def add(self, descriptor: int) -> None:
        if len(self._known) >= self._most:
            self._known.clear()
        self._known.add(_identity(descriptor))

    def forget(self, descriptor: int) -> None:
        """It is new: one that was removed may have had the same number."""
        self._known.discard(_identity(descriptor))


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


@contextmanager
def opened_below(
    root: Path, segments: Iterable[str], permissions: Permissions, known: KnownDirectories
) -> Iterator[int]:
    """A descriptor of the directory at `segments` below `root`; what is missing is made, durably.

    Raises OSError: ELOOP or ENOTDIR where something else than a directory stands in the way, a symbolic link included.
    """
    descriptor = _opened_root(root, permissions, known)
    try:
        for segment in segments:
            (below,) = _subdirectories(descriptor, (segment,), permissions, known)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _opened_root(root: Path, permissions: Permissions, known: KnownDirectories) -> int:
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_root(root, permissions.directory_mode)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        known.forget(descriptor)
    try:
        if descriptor not in known:
            _sync_as_far_as_allowed(root.parent)
            known.add(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_root(root: Path, mode: int) -> None:
    """Each directory is on the disk before one is made in it: of those that are there, only the last may not be yet."""
    missing = [root]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    _sync_as_far_as_allowed(missing[-1].parent.parent)
    for directory in reversed(missing):
        with suppress(FileExistsError):
            directory.mkdir(mode if directory == root else 0o777)
        if directory != root:
            _sync_directory(directory.parent)


def _sync_as_far_as_allowed(directory: Path) -> None:
    """For one that was there before: where it may not even be read, an admin has made what is in it."""
    with suppress(PermissionError):
        _sync_directory(directory)


def store(
    mailbox: int, pieces: Iterable[bytes], names: UniqueNames, permissions: Permissions, known: KnownDirectories
) -> str:
    """Write one message into the Maildir `mailbox` (a descriptor); its name within it, such as `new/1.M2P3Q4.host,S=5`.

    On return it is on the disk. Raises OSError with nothing left behind, or `PerhapsStored`.
    """
    with _boxes(mailbox, permissions, known) as (tmp, new):
        descriptor, draft = _create(tmp, names, permissions.file_mode)
        try:
            try:
                permissions.apply(descriptor, permissions.file_mode)
                size = sum(_write(descriptor, piece) for piece in pieces)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            name = _publish(tmp, draft, new, size, names)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=tmp)
        try:
            os.fsync(new)
        except OSError as error:
            try:
                os.unlink(name, dir_fd=new)
            except OSError:
                raise PerhapsStored(f"{name}: {error.strerror}") from error
            raise
    return f"new/{name}"


def remove_leftovers(mailbox: int, now: float) -> int:
    """Delete files in `tmp` whose writer must have died long ago; how many there were."""
    removed = 0
    try:
        tmp = os.open("tmp", _DIRECTORY, dir_fd=mailbox)
    except FileNotFoundError:
        return 0
    try:
        with os.scandir(tmp) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = os.stat(entry.name, dir_fd=tmp, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and found.st_mtime < now - LEFTOVER_SECONDS:
                        os.unlink(entry.name, dir_fd=tmp)
                        removed += 1
    finally:
        os.close(tmp)
    return removed


@contextmanager
def _boxes(mailbox: int, permissions: Permissions, known: KnownDirectories) -> Iterator[tuple[int, int]]:
    """Descriptors of `tmp` and `new`; `cur` is there too."""
    tmp, new, cur = _subdirectories(mailbox, ("tmp", "new", "cur"), permissions, known)
    os.close(cur)
    try:
        yield tmp, new
    finally:
        os.close(tmp)
        os.close(new)


def _subdirectories(parent: int, names: Sequence[str], permissions: Permissions, known: KnownDirectories) -> list[int]:
    """Descriptors of directories in `parent`; what is missing is made. One sync covers all that are not known yet."""
    descriptors: list[int] = []
    try:
        for name in names:
            descriptors.append(_subdirectory(parent, name, permissions, known))  # noqa: PERF401 - each is closed below
        unknown = [descriptor for descriptor in descriptors if descriptor not in known]
        if unknown:
            os.fsync(parent)
        for descriptor in unknown:
            known.add(descriptor)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return descriptors


def _subdirectory(parent: int, name: str, permissions: Permissions, known: KnownDirectories) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        pass
    made = True
    try:
        os.mkdir(name, permissions.directory_mode, dir_fd=parent)
    except FileExistsError:
        made = False  # by another delivery, in this moment: it may not have synced yet
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        known.forget(descriptor)
        if made:
            permissions.apply(descriptor, permissions.directory_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _create(tmp: int, names: UniqueNames, mode: int) -> tuple[int, str]:
    for _ in range(_ATTEMPTS):
        name = names()
        with suppress(FileExistsError):
            return os.open(name, _NEW_FILE, mode, dir_fd=tmp), name
    raise OSError(errno.EEXIST, "every file name is taken")


def _publish(tmp: int, draft: str, new: int, size: int, names: UniqueNames) -> str:
    """Make the finished draft visible in `new`; a file that is there already is never replaced."""
    name = draft
    for _ in range(_ATTEMPTS):
        final = f"{name},S={size}"
        try:
            os.link(draft, final, src_dir_fd=tmp, dst_dir_fd=new, follow_symlinks=False)
        except FileExistsError:
            name = names()
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(draft, final, src_dir_fd=tmp, dst_dir_fd=new)
        return final
    raise OSError(errno.EEXIST, "every file name is taken")


def _write(descriptor: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
    return len(data)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
