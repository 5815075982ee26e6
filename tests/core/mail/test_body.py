"""Bodies: the same octets in memory and in a file, read in pieces of any size, and written under a failing disk."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import SpoolUnavailable
from gateway.mail import body as body_module
from gateway.mail.body import MAX_HEADER_BLOCK, BodyWriter, FileBody
from tests.core.mail.strategies import bodies, spilled

octets = st.binary(max_size=300)
mail_octets = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b": ", b" ", b"\0"]), max_size=40).map(b"".join)


@contextmanager
def pieces_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_module, "CHUNK", size)
        yield


@given(octets, st.integers(1, 310), st.integers(0, 310))
def test_any_piece_size_gives_the_same_octets(raw: bytes, size: int, start: int) -> None:
    for body in bodies(raw):
        pieces = list(body.chunks(size, start))
        assert b"".join(pieces) == raw[start:]
        assert all(0 < len(piece) <= size for piece in pieces)
        assert len(body) == len(raw)


@given(octets, st.integers(0, 310), st.integers(0, 310))
def test_reading_is_clamped(raw: bytes, start: int, end: int) -> None:
    for body in bodies(raw):
        assert body.read(start, end) == raw[start:end]


@given(mail_octets, st.binary(min_size=1, max_size=4) | st.just(b"\r\n\r\n"), st.integers(0, 60), st.integers(4, 9))
def test_find_sees_what_lies_across_pieces(raw: bytes, needle: bytes, start: int, piece: int) -> None:
    with pieces_of(piece):
        for body in bodies(raw):
            assert body.find(needle, start) == raw.find(needle, start)
            for end in (0, start, start + 3, len(raw) - 1, len(raw) + 5):
                if end >= 0:
                    assert body.find(needle, start, end) == raw.find(needle, start, end)


@given(mail_octets, st.integers(4, 9))
def test_the_header_block_ends_before_the_empty_line(raw: bytes, piece: int) -> None:
    with pieces_of(piece):
        for body in bodies(raw):
            header = body.header_block
            if raw.startswith(b"\r\n"):
                assert header == b""
            elif b"\r\n\r\n" in raw:
                assert raw.startswith(header + b"\r\n")
                assert header.endswith(b"\r\n")
                assert b"\r\n\r\n" not in header
            else:
                assert header == raw
            assert not body.header_is_too_long


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"\r\nbody", b""),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"A: b\r\n\r\n", b"A: b\r\n"),
        (b"A: b\r\n\r\nbody\r\n\r\n", b"A: b\r\n"),
        (b"A: b", b"A: b"),
    ],
)
def test_header_blocks(raw: bytes, header: bytes) -> None:
    assert [body.header_block for body in bodies(raw)] == [header, header]


HEADER_LINE = b"X: " + b"y" * 1019 + b"\r\n"
LONGEST_HEADER = HEADER_LINE * (MAX_HEADER_BLOCK // len(HEADER_LINE))


@pytest.mark.parametrize(
    ("raw", "is_too_long"),
    [
        pytest.param(LONGEST_HEADER, False, id="header only, at the limit"),
        pytest.param(LONGEST_HEADER + b"X: y\r\n", True, id="header only, over it"),
        pytest.param(LONGEST_HEADER + b"\r\nbody", True, id="the empty line is over it"),
        pytest.param(LONGEST_HEADER[: -len(HEADER_LINE)] + b"\r\n" + HEADER_LINE * 2, False, id="large body"),
        pytest.param(b"\r\n" + LONGEST_HEADER + b"X: y\r\n", False, id="no header, large body"),
    ],
)
def test_m2_a_header_over_the_limit_is_told(raw: bytes, is_too_long: bool) -> None:
    assert len(LONGEST_HEADER) == MAX_HEADER_BLOCK
    for body in bodies(raw):
        assert body.header_is_too_long == is_too_long
        if is_too_long:
            assert body.header_block == b""


@given(st.lists(octets, max_size=8), st.integers(0, 900))
def test_the_writer_keeps_every_octet(parts: list[bytes], spill_bytes: int) -> None:
    raw = b"".join(parts)
    writer = BodyWriter(Path(tempfile.gettempdir()), spill_bytes)
    for part in parts:
        will = writer.will_spill(len(part))
        writer.write(part)
        assert writer.spilled == will
    body = writer.finish()
    assert isinstance(body, FileBody) == (len(raw) > spill_bytes)
    assert body.read(0, len(raw)) == raw
    assert (len(body), writer.length) == (len(raw), len(raw))
    assert body.sha256 == hashlib.sha256(raw).digest()


@given(octets, st.integers(0, 300), st.integers(0, 300))
def test_what_is_there_at_once_is_what_is_there(raw: bytes, start: int, end: int) -> None:
    wanted = raw[min(start, len(raw)) : end]
    for body in bodies(raw):
        found = body.read_at_once(min(start, len(raw)), end)
        assert (found is None and not wanted) or found == wanted


def test_what_is_not_at_hand_is_left_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    body = spilled(b"0123456789")

    def would_block(descriptor: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "preadv", would_block)
    assert body.read_at_once(0, 10) is None
    assert body.read(0, 10) == b"0123456789"
    monkeypatch.undo()
    real = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda file, buffers, at, flags: real(file, [memoryview(buffers[0])[:4]], at, flags)
    )
    assert body.read_at_once(1, 10) == b"1234"


@pytest.mark.parametrize("spill_bytes", [0, 100])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_body_is_plain_when_its_decoder_says_so(tmp_path: Path, spill_bytes: int, is_plain: bool) -> None:
    writer = BodyWriter(tmp_path, spill_bytes)
    writer.write(b"x\r\n")
    body = writer.finish(is_plain=is_plain)
    assert body.is_plain is is_plain


def test_a_body_in_memory_is_not_copied() -> None:
    raw = b"x" * 100
    writer = BodyWriter(Path("/nowhere"), 1000)
    writer.write(raw)
    body = writer.finish()
    assert body.read(0, 100) is raw
    assert body.read(0, 1000) is raw


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = open_files()
    writer = BodyWriter(tmp_path, 10)
    writer.write(b"x" * 100)
    assert open_files() == before + 1
    assert list(tmp_path.iterdir()) == [], "the file has no name at any time"
    writer.discard()
    writer.discard()
    assert open_files() == before
    body = spilled(b"x" * 100)
    assert open_files() == before + 1
    del body
    assert open_files() == before


@pytest.mark.parametrize(
    ("spool", "cause"),
    [
        ("missing", os.strerror(errno.ENOENT)),
        ("file", os.strerror(errno.ENOTDIR)),
    ],
)
def test_a_spool_that_takes_no_files_names_itself_and_the_cause(tmp_path: Path, spool: str, cause: str) -> None:
    (tmp_path / "file").touch()
    writer = BodyWriter(tmp_path / spool, 0)
    with pytest.raises(SpoolUnavailable) as caught:
        writer.write(b"x")
    assert str(caught.value).startswith(f"the spool {tmp_path / spool} is ")
    assert f"({cause}); " in str(caught.value)
    assert not caught.value.is_full
    assert not writer.spilled


@pytest.mark.parametrize("failing", range(5))
def test_s9_the_nth_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    before, written, real = open_files(), [0], os.write

    def write(descriptor: int, data: memoryview) -> int:
        if written[0] == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written[0] += 1
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    writer = BodyWriter(tmp_path, 25)

    def fill() -> None:
        for _ in range(10):
            writer.write(b"0123456789")

    with pytest.raises(SpoolUnavailable, match=os.strerror(errno.ENOSPC)):
        fill()
    assert open_files() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at_once", [1, 7])
def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:at_once]))
    writer = BodyWriter(tmp_path, 0)
    writer.write(b"0123456789" * 3)
    body = writer.finish()
    assert body.read(0, 100) == b"0123456789" * 3


def test_s1_a_write_of_nothing_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    writer = BodyWriter(tmp_path, 0)
    with pytest.raises(SpoolUnavailable, match=os.strerror(errno.ENOSPC)):
        writer.write(b"x")


def test_s1_a_real_limit_on_the_file_and_then_none(tmp_path: Path) -> None:
    before = open_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = BodyWriter(tmp_path, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SpoolUnavailable, match=os.strerror(errno.EFBIG)):
            writer.write(b"x" * 1001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert open_files() == before
    again = BodyWriter(tmp_path, 0)
    again.write(b"x" * 1001)
    body = again.finish()
    assert len(body) == 1001
