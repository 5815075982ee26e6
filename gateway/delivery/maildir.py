"""The Maildir next hop: final delivery into files, one tree for all mailboxes.

Which mailboxes exist is the directory's question; how files are made is maildir_folder.py's.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from gateway.delivery.maildir_folder import (
    KnownDirectories,
    PerhapsStored,
    Permissions,
    UniqueNames,
    opened_below,
    remove_leftovers,
    safe_segment,
    store,
)
from gateway.delivery.transport import Batch, Copy, Late, Outcome, Result, Results
from gateway.delivery.wire import LineCheck, UnsafeContent
from gateway.errors import ConfigError
from gateway.mail.address import Address, AddressError
from gateway.mail.edits import Edits, Splice
from gateway.mail.headers import Headers
from gateway.mail.reply import (
    ACCEPTED,
    BAD_ADDRESS,
    BARE_NEWLINE,
    DEADLINE_PASSED,
    DISK_FULL,
    INTERNAL_ERROR,
    MAIL_LOOP,
    Reply,
)
from gateway.mail.spool import NO_SPACE
from gateway.rights import cannot_make_files_in

log = logging.getLogger(__name__)

CLEANING_INTERVAL_SECONDS = 3600.0
_REMEMBERED_CLEANINGS = 4096
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Maildir:
    """Mailboxes below a directory. `path` names them: a root, then segments with `{domain}` and `{local}`.

    `subaddress_separator` parts a tag from the mailbox: anna+tag goes to anna, while Delivered-To keeps the whole
    address; "" switches that off. At most `writers` threads write at a time. Raises `ConfigError` for a path that
    cannot tell mailboxes apart. Use from one event loop.
    """

    kind = "maildir"

    def __init__(
        self,
        name: str,
        path: str = "var/mail/{domain}/{local}",
        *,
        hostname: str,
        line_ends: Literal["lf", "crlf"] = "lf",
        subaddress_separator: str = "+",
        file_mode: int = 0o600,
        directory_mode: int = 0o700,
        owner: tuple[int, int] | None = None,
        writers: int = 8,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name = name
        self.root, self._template = _split_template(path)
        self._lf = line_ends == "lf"
        self._separator = subaddress_separator
        self._permissions = Permissions(file_mode, directory_mode, owner)
        self._clock_ns = clock_ns
        self._known = KnownDirectories()
        self._names = UniqueNames(hostname, clock_ns)
        self._cleaned: dict[tuple[str, ...], float] = {}
        self._threads = ThreadPoolExecutor(writers, thread_name_prefix=f"maildir-{name}")
        self._following: set[asyncio.Future[Results]] = set()

    async def deliver(self, batch: Batch, *, deadline: float, late: Late | None = None) -> Results:
        """See `NextHop.deliver`. Once a thread has begun to write, the batch is finished whatever happens."""
        loop = asyncio.get_running_loop()
        patience = deadline - loop.time()
        if patience <= 0:
            return self._all(batch, Outcome.DEFERRED, DEADLINE_PASSED)
        job = self._threads.submit(self._store_batch, batch)
        future = asyncio.wrap_future(job)
        try:
            done, _ = await asyncio.wait({future}, timeout=patience)
        except asyncio.CancelledError:
            self._let_go(job, future, late)
            raise
        if done:
            return future.result()
        if self._let_go(job, future, late):
            return self._all(batch, Outcome.UNKNOWN, DEADLINE_PASSED)
        return self._all(batch, Outcome.DEFERRED, DEADLINE_PASSED)

    async def probe(self) -> str | None:
        """See `NextHop.probe`. A missing root is not made: the first delivery does that."""
        problem = await asyncio.get_running_loop().run_in_executor(self._threads, cannot_make_files_in, self.root)
        return f"next hop {self.name!r} (maildir): {problem}" if problem else None

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        if self._following:
            await asyncio.wait(self._following)

    def mailbox(self, address: Address) -> tuple[str, ...]:
        """The directories from the root to the mailbox of `address`. Raises ValueError when it can have none."""
        local = address.local
        if self._separator:
            local = local.partition(self._separator)[0] or local
        values = {"domain": safe_segment(address.domain), "local": safe_segment(local)}
        return tuple(_PLACEHOLDER.sub(lambda found: values[found[1]], segment) for segment in self._template)

    def _let_go(self, job: Future[Results], future: asyncio.Future[Results], late: Late | None) -> bool:
        """Nobody waits any more: true when it is being written and goes on, false when it had not begun."""
        if job.cancel():
            return False
        self._following.add(future)
        future.add_done_callback(self._following.discard)
        if late is not None:
            future.add_done_callback(lambda ended: late(ended.result()))
        return True

    # In a worker thread

    def _store_batch(self, batch: Batch) -> Results:
        try:
            header = _FinalHeader(batch)
        except OSError as error:
            log.warning("maildir %s: cannot read the message: %s", self.name, error)
            return self._all(batch, Outcome.DEFERRED, INTERNAL_ERROR)
        return tuple(self._store_copy(batch, copy, header) for copy in batch.copies)

    def _store_copy(self, batch: Batch, copy: Copy, header: _FinalHeader) -> Result:
        where = f"{self.kind} {self.root}"
        try:
            if copy.to.key in header.delivered_to:
                return Result(Outcome.REFUSED, MAIL_LOOP, where=where)
            segments = self.mailbox(copy.to)
            pieces = self._pieces(header.lines_for(copy.to), header.edits, batch)
            with opened_below(self.root, segments, self._permissions, self._known) as mailbox:
                self._clean(segments, mailbox)
                file = store(mailbox, pieces, self._names, self._permissions, self._known)
        except ValueError:
            return Result(Outcome.REFUSED, BAD_ADDRESS, where=where)
        except UnsafeContent:
            return Result(Outcome.REFUSED, BARE_NEWLINE, where=where)
        except PerhapsStored as error:
            log.warning("maildir %s: %s: perhaps delivered: %s", self.name, copy.to, error)
            return Result(Outcome.UNKNOWN, INTERNAL_ERROR, where=f"{where}: {error}")
        except OSError as error:
            log.warning("maildir %s: %s: not delivered: %s", self.name, copy.to, error)
            reply = DISK_FULL if error.errno in NO_SPACE else INTERNAL_ERROR
            return Result(Outcome.DEFERRED, reply, where=f"{where}: {error.strerror}")
        return Result(Outcome.DONE, ACCEPTED.says(f"delivered to {copy.to}"), where="/".join([*segments, file]))

    def _pieces(self, lines: bytes, edits: Edits, batch: Batch) -> Iterator[bytes]:
        """The file's bytes. Stray CR, LF and NUL raise `UnsafeContent`: with LF line ends they would make new lines."""
        check = LineCheck()
        for piece in edits.chunks(batch.body):
            check.piece(piece)
            whole = lines + piece if lines else piece
            lines = b""
            yield whole.translate(None, b"\r") if self._lf else whole
        check.end()
        if lines:
            yield lines.translate(None, b"\r") if self._lf else lines

    def _clean(self, segments: tuple[str, ...], mailbox: int) -> None:
        """Now and then, look for files that a writer which died left in tmp."""
        now = time.monotonic()
        if now - self._cleaned.get(segments, -CLEANING_INTERVAL_SECONDS) < CLEANING_INTERVAL_SECONDS:
            return
        if len(self._cleaned) >= _REMEMBERED_CLEANINGS:
            self._cleaned.clear()
        self._cleaned[segments] = now
        removed = remove_leftovers(mailbox, self._clock_ns() / 1e9)
        if removed:
            log.info("maildir %s: removed %d abandoned files from %s/tmp", self.name, removed, "/".join(segments))

    def _all(self, batch: Batch, outcome: Outcome, reply: Reply) -> Results:
        return (Result(outcome, reply, where=f"{self.kind} {self.root}"),) * len(batch.copies)


class _FinalHeader:
    """What final delivery changes about a header: Return-Path is written anew, Delivered-To is added (RFC 5321 4.4).

    `delivered_to` are the normal forms of the addresses it was delivered to before, by whomever.
    """

    def __init__(self, batch: Batch) -> None:
        block = batch.body.header_block
        lower = block.lower()
        self.edits = batch.edits
        self.delivered_to: set[str] = set()
        self._return_path = f"Return-Path: <{'' if batch.sender is None else batch.sender}>\r\n"
        if b"return-path" in lower or b"delivered-to" in lower:
            headers = Headers(block)
            self.delivered_to = {_key(field.value) for field in headers.all("delivered-to")}
            self.edits = _without(batch.edits, [(field.start, field.end) for field in headers.all("return-path")])

    def lines_for(self, address: Address) -> bytes:
        """Raises ValueError for an address that would be more than a line."""
        delivered_to = f"Delivered-To: {address}\r\n"
        if _CONTROL.search(self._return_path[:-2]) or _CONTROL.search(delivered_to[:-2]):
            raise ValueError("control character in an address")
        return (self._return_path + delivered_to).encode()


def _key(text: str) -> str:
    try:
        return Address.parse(text.strip("<>")).key
    except AddressError:
        return text.lower()


def _without(edits: Edits, spans: list[tuple[int, int]]) -> Edits:
    """`edits`, and these spans removed unless an edit is about them already."""
    removals = [
        Splice(start, end)
        for start, end in spans
        if not any(splice.start < end and start < splice.end for splice in edits.splices)
    ]
    return Edits(edits.prepend, tuple(sorted([*edits.splices, *removals])), edits.may_break_dkim)


def _split_template(path: str) -> tuple[Path, tuple[str, ...]]:
    """The root, absolute, and the segments with placeholders."""
    parts = Path(path).parts
    first = next((number for number, part in enumerate(parts) if "{" in part), len(parts))
    template = parts[first:]
    found = [name for part in template for name in _PLACEHOLDER.findall(part)]
    rest = "".join(_PLACEHOLDER.sub("", part) for part in template)
    if (
        "local" not in found
        or not {"local", "domain"}.issuperset(found)
        or "{" in rest
        or "}" in rest
        or ".." in template
    ):
        raise ConfigError([f"maildir path {path!r}: expected a directory, then {{domain}} and {{local}}, and no '..'"])
    return Path(*parts[:first]).absolute() if first else Path.cwd(), template
