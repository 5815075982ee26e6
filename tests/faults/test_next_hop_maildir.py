"""Disks that fail under a Maildir (fault catalogue S1, S8, S9, S10)."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.delivery.maildir import Maildir
from gateway.delivery.transport import Outcome, Result
from gateway.mail.body import FileBody
from gateway.mail.reply import DISK_FULL, INTERNAL_ERROR
from tests.core.delivery.batches import ANNA, BO, MESSAGE, batch, soon
from tests.servers import REQUIRE_VARIABLE

LARGE = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\r\n" * 32_000


async def delivered_to(root: Path, data: bytes = MESSAGE) -> Result:
    hop = Maildir("mail", f"{root}/mail/{{domain}}/{{local}}", hostname="gw.example.test")
    try:
        (result,) = await hop.deliver(batch(data), deadline=soon())
        return result
    finally:
        await hop.close()


def path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def command(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a tmpfs is not allowed here")
    yield disk
    assert command("umount", disk).returncode == 0


# S1


async def test_s1_a_full_disk_is_452_and_recovers(small_disk: Path) -> None:
    result = await delivered_to(small_disk, LARGE)
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, DISK_FULL)
    assert files(small_disk) == []
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        file.write(b"x" * 2_000_000)
    assert (await delivered_to(small_disk, MESSAGE * 300)).reply == DISK_FULL
    filler.unlink()
    assert (await delivered_to(small_disk)).outcome is Outcome.DONE


async def test_s1_a_file_size_limit_is_452_as_well(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        result = await delivered_to(tmp_path, LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, DISK_FULL)
    assert files(tmp_path) == []


# S8


@pytest.mark.parametrize("nth", range(1, 7))
async def test_s8_a_failing_fsync_is_451_and_never_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Root, domain, mailbox and its folders, the file and `new` are synced, six times in all: each in turn failing."""
    synced: list[Path] = []
    fsync = os.fsync

    def fails_once(descriptor: int) -> None:
        synced.append(path_of(descriptor))
        if len(synced) == nth:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    (tmp_path / "mail").mkdir()
    monkeypatch.setattr(os, "fsync", fails_once)
    result = await delivered_to(tmp_path)
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, INTERNAL_ERROR)
    assert len(synced) == nth, "after the error nothing is synced again"
    assert files(tmp_path) == []
    monkeypatch.undo()
    assert (await delivered_to(tmp_path)).outcome is Outcome.DONE


async def test_s8_the_order_of_syncs_makes_the_message_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(path_of(descriptor).relative_to(tmp_path).name)
        fsync(descriptor)

    (tmp_path / "mail").mkdir()
    monkeypatch.setattr(os, "fsync", noted)
    await delivered_to(tmp_path)
    file = synced.pop(-2)
    assert synced == ["", "mail", "example.test", "anna", "new"]
    assert file.endswith(".gw.example.test")


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced from here on, below the test's directory; a file is `*`."""
    found: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        path = path_of(descriptor)
        found.append("*" if path.is_file() else os.path.relpath(path, tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return found


@asynccontextmanager
async def maildir(root: Path) -> AsyncIterator[Maildir]:
    hop = Maildir("mail", f"{root}/{{domain}}/{{local}}", hostname="gw.example.test")
    yield hop
    await hop.close()


MAILBOX = ["example.test", "example.test/anna", "*", "example.test/anna/new"]


def below(root: str) -> list[str]:
    return [root, *(path if path == "*" else f"{root}/{path}" for path in MAILBOX)]


async def test_s8_a_root_with_missing_parents_is_made_one_by_one_each_synced(tmp_path: Path, synced: list[str]) -> None:
    async with maildir(tmp_path / "x/y/mail") as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert synced == ["..", ".", "x", "x/y", *below("x/y/mail")]


async def test_s8_directories_that_are_there_are_synced_once_a_process(tmp_path: Path, synced: list[str]) -> None:
    """Who made them may have died before syncing. Then a message costs two: its file and `new`."""
    for name in ("tmp", "new", "cur"):
        (tmp_path / "mail/example.test/anna" / name).mkdir(parents=True)
    async with maildir(tmp_path / "mail") as hop:
        await hop.deliver(batch(), deadline=soon())
        assert synced == [".", *below("mail")]
        synced.clear()
        for _ in range(3):
            await hop.deliver(batch(), deadline=soon())
        assert synced == ["*", "mail/example.test/anna/new"] * 3


@pytest.mark.parametrize("failing", [".", "mail", "mail/example.test", "mail/example.test/anna"])
async def test_s8_a_directory_whose_sync_failed_is_synced_at_the_next_delivery(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    noted = os.fsync

    def fails(descriptor: int) -> None:
        noted(descriptor)
        if synced[-1] == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "mail").mkdir()
    async with maildir(tmp_path / "mail") as hop:
        monkeypatch.setattr(os, "fsync", fails)
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, synced[-1]) == (Outcome.DEFERRED, failing)
        monkeypatch.setattr(os, "fsync", noted)
        synced.clear()
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE
        assert synced[0] == failing


async def test_s8_a_directory_that_another_made_in_this_moment_is_synced(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mail").mkdir()
    mkdir = os.mkdir

    def too_late(*given: Any, **more: Any) -> None:
        mkdir(*given, **more)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "mkdir", too_late)
    async with maildir(tmp_path / "mail") as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert synced == [".", *below("mail")]


@pytest.mark.server("strace")
async def test_s8_a_disk_that_really_says_eio(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.faults.test_next_hop_maildir import delivered_to\n"
        "print(asyncio.run(delivered_to(Path(sys.argv[1]))).reply)\n"
    )
    for name in ("tmp", "new", "cur"):
        (tmp_path / "mail/example.test/anna" / name).mkdir(parents=True)
    fault = "inject=fsync:error=EIO:when=1"
    done = command(
        *("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", fault),
        *(sys.executable, "-c", program, tmp_path),
    )
    if "ptrace" in done.stderr and not os.environ.get(REQUIRE_VARIABLE):
        pytest.skip(f"strace is not allowed here: {done.stderr.strip()}")
    assert done.stdout.strip() == str(INTERNAL_ERROR), done.stderr
    assert files(tmp_path) == []


async def test_s8_a_file_that_was_seen_and_cannot_be_taken_back_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail reader moved it to `cur` in the moment between its appearing and the failure."""
    fsync = os.fsync

    def read_meanwhile(descriptor: int) -> None:
        directory = path_of(descriptor)
        if directory.name == "new" and (found := list(directory.iterdir())):
            found[0].rename(directory.parent / "cur" / found[0].name)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", read_meanwhile)
    result = await delivered_to(tmp_path)
    assert (result.outcome, result.reply) == (Outcome.UNKNOWN, INTERNAL_ERROR)


async def test_s8_a_spool_that_cannot_be_read_is_451(tmp_path: Path) -> None:
    body = FileBody(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY), len(MESSAGE), b"")
    hop = Maildir("mail", f"{tmp_path}/{{local}}", hostname="gw.example.test")
    results = await hop.deliver(batch(body, ANNA, BO), deadline=soon())
    await hop.close()
    assert {(result.outcome, result.reply) for result in results} == {(Outcome.DEFERRED, INTERNAL_ERROR)}
    assert files(tmp_path) == []


# S9


@pytest.mark.parametrize("nth", [1, 2, 5, 8, 50])
async def test_s9_no_space_at_the_nth_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Writes are short on purpose, so that there are many; the nth says ENOSPC."""
    write, count = os.write, 0

    def short(descriptor: int, data: memoryview) -> int:
        nonlocal count
        if not path_of(descriptor).is_relative_to(tmp_path):
            return write(descriptor, data)
        count += 1
        if count == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:7])

    monkeypatch.setattr(os, "write", short)
    result = await delivered_to(tmp_path, MESSAGE * 10)
    assert count == nth
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, DISK_FULL)
    assert files(tmp_path) == []


async def test_s9_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    result = await delivered_to(tmp_path)
    monkeypatch.undo()
    assert result.outcome is Outcome.DONE
    assert files(tmp_path)[0].read_bytes().endswith(MESSAGE.replace(b"\r\n", b"\n"))


# S10


async def test_s10_new_on_another_device_is_451(small_disk: Path) -> None:
    mailbox = small_disk.parent / "mail/example.test/anna"
    mailbox.mkdir(parents=True)
    (mailbox / "new").mkdir()
    assert command("mount", "--bind", small_disk, mailbox / "new").returncode == 0
    try:
        result = await delivered_to(small_disk.parent)
    finally:
        command("umount", mailbox / "new")
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, INTERNAL_ERROR)
    assert files(small_disk.parent) == []


async def test_s10_a_disk_that_became_read_only_is_451(small_disk: Path) -> None:
    assert (await delivered_to(small_disk)).outcome is Outcome.DONE
    assert command("mount", "-o", "remount,ro", small_disk).returncode == 0
    result = await delivered_to(small_disk)
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, INTERNAL_ERROR)
    assert "Read-only file system" in result.where
    assert len(files(small_disk)) == 1
