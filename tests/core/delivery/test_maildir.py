"""Final delivery: what stands in the file, where the file is, and that nobody can redirect it."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.delivery.maildir import Maildir
from gateway.delivery.maildir_folder import LEFTOVER_SECONDS, safe_segment
from gateway.delivery.transport import Outcome, Results
from gateway.errors import ConfigError
from gateway.mail.address import Address
from gateway.mail.body import CHUNK, MemoryBody
from gateway.mail.edits import Edits, Splice
from gateway.mail.reply import BAD_ADDRESS, BARE_NEWLINE, DEADLINE_PASSED, INTERNAL_ERROR, MAIL_LOOP
from tests.core.delivery.batches import ANNA, BO, MESSAGE, batch, soon, spilled

TOP = b"Return-Path: <sender@example.com>\nDelivered-To: anna@example.test\n"


@asynccontextmanager
async def maildir(root: Path, **settings: Any) -> AsyncIterator[Maildir]:
    path = settings.pop("path", f"{root}/mail/{{domain}}/{{local}}")
    hop = Maildir("mail", path, hostname="gw.example.test", **settings)
    try:
        yield hop
    finally:
        await hop.close()


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if not path.is_dir())


async def test_a_message_is_stored_byte_for_byte(tmp_path: Path) -> None:
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, str(result.reply)) == (Outcome.DONE, "250 2.0.0 delivered to anna@example.test")
    assert not result.dsn_passed_on, "the duty to report success stays with us"
    (file,) = files(tmp_path)
    assert file == tmp_path / "mail" / result.where
    assert file.parent == tmp_path / "mail/example.test/anna/new"
    assert file.read_bytes() == TOP + MESSAGE.replace(b"\r\n", b"\n")
    assert file.name.endswith(f",S={file.stat().st_size}")
    assert {path.name for path in (tmp_path / "mail/example.test/anna").iterdir()} == {"tmp", "new", "cur"}


async def test_line_ends_are_kept_where_that_is_wanted(tmp_path: Path) -> None:
    async with maildir(tmp_path, line_ends="crlf") as hop:
        await hop.deliver(batch(sender=None), deadline=soon())
    top = b"Return-Path: <>\r\nDelivered-To: anna@example.test\r\n"
    assert files(tmp_path)[0].read_bytes() == top + MESSAGE


@pytest.mark.parametrize("data", [b"", b"no line end", b"\r\n", b"a\r\n\r\n\r\n.\r\n..\r\n", b"\xff\xfe\x80 raw\r\n"])
async def test_awkward_messages_are_stored_as_they_are(tmp_path: Path, data: bytes) -> None:
    async with maildir(tmp_path) as hop:
        await hop.deliver(batch(data), deadline=soon())
        await hop.deliver(batch(spilled(data)), deadline=soon())
    for file in files(tmp_path):
        assert file.read_bytes() == TOP + data.replace(b"\r\n", b"\n")


async def test_line_ends_on_the_borders_of_chunks(tmp_path: Path) -> None:
    data = b"".join(b"x" * (CHUNK - shift) + b"\r\n" for shift in range(4)) + b"end"
    async with maildir(tmp_path) as hop:
        await hop.deliver(batch(data), deadline=soon())
        await hop.deliver(batch(spilled(data)), deadline=soon())
    for file in files(tmp_path):
        assert file.read_bytes() == TOP + data.replace(b"\r\n", b"\n")


async def test_an_older_return_path_goes_and_everything_else_stays(tmp_path: Path) -> None:
    data = (
        b"Received: one\r\nReturn-Path: <old@example.com>\r\nX-Return-Path: stays\r\n"
        b"RETURN-PATH:\r\n <folded@example.com>\r\nSubject: Return-Path\r\n\r\nReturn-Path: <body@example.com>\r\n"
    )
    edits = Edits(("Received: by us",), (Splice(0, 15, "Received: 1\r\n"),))
    async with maildir(tmp_path) as hop:
        await hop.deliver(batch(data, edits=edits), deadline=soon())
    assert files(tmp_path)[0].read_bytes() == (
        TOP + b"Received: by us\nReceived: 1\nX-Return-Path: stays\n"
        b"Subject: Return-Path\n\nReturn-Path: <body@example.com>\n"
    )


async def test_a_return_path_that_an_edit_is_about_is_left_to_it(tmp_path: Path) -> None:
    data = b"Return-Path: <old@example.com>\r\nSubject: x\r\n\r\n"
    edits = Edits((), (Splice(0, 32, "X-Was: <old@example.com>\r\n"),))
    async with maildir(tmp_path) as hop:
        await hop.deliver(batch(data, edits=edits), deadline=soon())
    assert files(tmp_path)[0].read_bytes() == TOP + b"X-Was: <old@example.com>\nSubject: x\n\n"


@pytest.mark.parametrize(
    "value", ["anna@example.test", "<ANNA@Example.Test>", " anna@example.test ", "anna@example.test."]
)
async def test_r5_mail_that_was_here_before_is_a_loop(tmp_path: Path, value: str) -> None:
    data = b"Delivered-To: else@example.org\r\nDelivered-To: " + value.encode() + b"\r\n\r\n"
    async with maildir(tmp_path) as hop:
        results = await hop.deliver(batch(data, ANNA, BO), deadline=soon())
    assert [(result.outcome, result.reply.code) for result in results] == [(Outcome.REFUSED, 554), (Outcome.DONE, 250)]
    assert results[0].reply == MAIL_LOOP
    assert len(files(tmp_path)) == 1


async def test_r5_a_delivered_to_in_the_body_or_for_another_is_no_loop(tmp_path: Path) -> None:
    data = b"Delivered-To: anna@example.org\r\nDelivered-To: junk <<\r\n\r\nDelivered-To: anna@example.test\r\n"
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(data), deadline=soon())
    assert result.outcome is Outcome.DONE


async def test_several_copies_have_a_file_each(tmp_path: Path) -> None:
    people = [Address(f"u{number}", "example.test") for number in range(20)]
    async with maildir(tmp_path) as hop:
        results = await hop.deliver(batch(MESSAGE, *people), deadline=soon())
    assert [result.outcome for result in results] == [Outcome.DONE] * 20
    for person, result in zip(people, results, strict=True):
        text = (tmp_path / "mail" / result.where).read_bytes()
        assert text.startswith(f"Return-Path: <sender@example.com>\nDelivered-To: {person}\n".encode())


async def test_a_tag_leads_to_the_mailbox_and_stays_in_delivered_to(tmp_path: Path) -> None:
    async with maildir(tmp_path) as hop:
        await hop.deliver(batch(MESSAGE, Address("Anna+Invoices", "example.test")), deadline=soon())
        assert hop.mailbox(Address("+odd", "example.test")) == ("example.test", "+odd")
    (file,) = files(tmp_path)
    assert file.parent == tmp_path / "mail/example.test/anna/new"
    assert b"\nDelivered-To: Anna+Invoices@example.test\n" in file.read_bytes()
    async with maildir(tmp_path, subaddress_separator="") as hop:
        assert hop.mailbox(Address("anna+x", "example.test")) == ("example.test", "anna+x")


HOSTILE = [
    ("../../x", "%2E.%2F..%2Fx"),
    ("..", "%2E."),
    (".", "%2E"),
    (".ssh", "%2Essh"),
    ("a/b", "a%2Fb"),
    ("|cmd", "%7Ccmd"),
    ("$(id)", "%24%28id%29"),
    ("a%2Fb", "a%252fb"),
    ("ANNA", "anna"),
    ("jürgen", "j%C3%BCrgen"),
    ("{domain}", "%7Bdomain%7D"),
    ("a b~", "a%20b%7E"),
    ("-rf", "-rf"),
    ("日" * 21, "%E6%97%A5" * 21),
]


@pytest.mark.parametrize(("local", "segment"), HOSTILE)
async def test_p57_a_hostile_local_part_is_one_harmless_name(tmp_path: Path, local: str, segment: str) -> None:
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(MESSAGE, Address(local, "example.test")), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert [path.name for path in (tmp_path / "mail/example.test").iterdir()] == [segment]
    assert safe_segment(local) == segment
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("local", ["", "a\0b", "a\nBcc: x@example.org", "x" * 256, "日" * 40, "\udc80"])
async def test_p57_what_can_be_no_mailbox_is_refused(tmp_path: Path, local: str) -> None:
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(MESSAGE, Address(local, "example.test")), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.REFUSED, BAD_ADDRESS)
    assert files(tmp_path) == []


@pytest.mark.parametrize("where", ["mail/example.test", "mail/example.test/anna", "mail/example.test/anna/new"])
@pytest.mark.parametrize("what", ["symbolic link", "file"])
async def test_a_link_or_a_file_in_the_way_is_never_followed(tmp_path: Path, where: str, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    trap = tmp_path / where
    trap.parent.mkdir(parents=True)
    if what == "file":
        trap.write_bytes(b"")
    else:
        trap.symlink_to(elsewhere, target_is_directory=True)
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, INTERNAL_ERROR)
    assert list(elsewhere.iterdir()) == []


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "mail").symlink_to(tmp_path / "disk", target_is_directory=True)
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (tmp_path / "disk" / result.where).exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_modes_are_what_was_set_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with maildir(tmp_path, file_mode=0o640, directory_mode=0o750) as hop:
            await hop.deliver(batch(), deadline=soon())
    finally:
        os.umask(before)
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    for directory in (file.parent, file.parent.parent, file.parent.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_owners_are_what_was_set(tmp_path: Path) -> None:
    async with maildir(tmp_path, owner=(12_345, 54_321)) as hop:
        await hop.deliver(batch(), deadline=soon())
    (file,) = files(tmp_path)
    for path in (file, file.parent, file.parent.parent, file.parent.parent.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (12_345, 54_321)


@pytest.mark.parametrize("data", [b"X-A: 1\nX-B: 2\r\n\r\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r"])
async def test_p12_stray_newlines_never_become_lines_of_a_file(tmp_path: Path, data: bytes) -> None:
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(MemoryBody(data)), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.REFUSED, BARE_NEWLINE)
    assert files(tmp_path) == []


async def test_s10_a_name_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    async with maildir(tmp_path, clock_ns=lambda: 1_700_000_000_123_456_789) as hop:
        (first,) = await hop.deliver(batch(), deadline=soon())
        # What another host or process with the same name would have written: the next file, with the same size.
        taken = tmp_path / "mail" / first.where.replace("Q1.", "Q2.")
        taken.write_bytes(b"untouched")
        draft = taken.parent.parent / "tmp" / f"1700000000.M123456P{os.getpid()}Q4.gw.example.test"
        draft.write_bytes(b"untouched")
        (second,) = await hop.deliver(batch(), deadline=soon())
        (third,) = await hop.deliver(batch(), deadline=soon())
    assert taken.read_bytes() == draft.read_bytes() == b"untouched"
    assert [result.where.partition("Q")[2][0] for result in (first, second, third)] == ["1", "3", "5"]
    assert all((tmp_path / "mail" / result.where).read_bytes().startswith(TOP) for result in (first, second, third))


async def test_s10_leftovers_in_tmp_go_after_36_hours(tmp_path: Path) -> None:
    tmp = tmp_path / "mail/example.test/anna/tmp"
    tmp.mkdir(parents=True)
    for name, age in (("old", LEFTOVER_SECONDS + 60), ("young", LEFTOVER_SECONDS - 60)):
        (tmp / name).write_bytes(b"half a mess")
        os.utime(tmp / name, (time.time() - age,) * 2)
    async with maildir(tmp_path) as hop:
        await hop.deliver(batch(), deadline=soon())
    assert [path.name for path in tmp.iterdir()] == ["young"]


async def test_a_file_system_without_links_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_arguments: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    async with maildir(tmp_path) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert [str(path.relative_to(tmp_path / "mail")) for path in files(tmp_path)] == [result.where]


@pytest.mark.parametrize("path", ["var/mail", "var/{domain}", "var/{user}", "var/{local}/..", "var/{local", "var/{}"])
def test_a_path_that_cannot_tell_mailboxes_apart_is_an_error(path: str) -> None:
    with pytest.raises(ConfigError, match="maildir path"):
        Maildir("mail", path, hostname="gw.example.test")


async def test_other_shapes_of_paths(tmp_path: Path) -> None:
    async with maildir(tmp_path, path=f"{tmp_path}/{{domain}}/u-{{local}}/Maildir") as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert result.where.startswith("example.test/u-anna/Maildir/new/")


async def test_probe_tells_what_is_wrong(tmp_path: Path) -> None:
    async with maildir(tmp_path) as hop:
        assert await hop.probe() is None
    async with maildir(tmp_path, path=f"{tmp_path}/not/yet/{{local}}") as hop:
        assert await hop.probe() is None
        assert not (tmp_path / "not").exists()
    (tmp_path / "file").write_bytes(b"")
    async with maildir(tmp_path, path=f"{tmp_path}/file/{{local}}") as hop:
        said = f"{tmp_path}/file is no directory; move away what stands there, or use another place"
        assert await hop.probe() == f"next hop 'mail' (maildir): {said}"


class Gate:
    """Holds every fsync until it is opened, as a disk that stalls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        fsync = os.fsync

        def slow(descriptor: int) -> None:
            self.entered.release()
            assert self.open.wait(30)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slow)


async def test_the_deadline_while_writing_is_unknown_until_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    told: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
    async with maildir(tmp_path, writers=1) as hop:
        (first,) = await hop.deliver(batch(), deadline=soon(0.1), late=told.set_result)
        (second,) = await hop.deliver(batch(), deadline=soon(0.1))
        (third,) = await hop.deliver(batch(), deadline=soon(-1))
        assert [first.outcome, second.outcome, third.outcome] == [Outcome.UNKNOWN, Outcome.DEFERRED, Outcome.DEFERRED]
        assert {result.reply for result in (first, second, third)} == {DEADLINE_PASSED}
        gate.open.set()
        assert (await told)[0].outcome is Outcome.DONE
    assert len(files(tmp_path)) == 1, "what had not begun was not written afterwards"


async def test_cancelled_while_writing_it_is_finished_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    told: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
    async with maildir(tmp_path) as hop:
        delivery = asyncio.create_task(hop.deliver(batch(), deadline=soon(), late=told.set_result))
        await asyncio.to_thread(gate.entered.acquire)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        gate.open.set()
        assert (await told)[0].outcome is Outcome.DONE


async def test_many_at_once_all_arrive(tmp_path: Path) -> None:
    async with maildir(tmp_path) as hop:
        batches = [batch(b"Subject: %d\r\n\r\n" % number, ANNA, BO) for number in range(50)]
        every = await asyncio.gather(*(hop.deliver(one, deadline=soon()) for one in batches))
    results = list(itertools.chain.from_iterable(every))
    assert {result.outcome for result in results} == {Outcome.DONE}
    assert {str(path.relative_to(tmp_path / "mail")) for path in files(tmp_path)} == {r.where for r in results}
