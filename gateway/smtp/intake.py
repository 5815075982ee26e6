"""Takes one message off the wire: limits, strays, spilling to disk. It never speaks to the client."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path

from gateway.errors import SpoolUnavailable
from gateway.mail.body import Body, BodyWriter
from gateway.mail.data import ChunkDecoder, DataDecoder, MessageDecoder
from gateway.mail.reply import BARE_NEWLINE, DISK_FULL, LINE_TOO_LONG, SPOOL_DOWN, TOO_BIG, Reply
from gateway.smtp.spool import SpoolWatch

SPILL_PIECE = 512 * 1024  # fewer, larger writes: each costs a hand-over to a thread


class MessageIntake:
    """Collects the data of one message. A message that is refused is still read to its end, and thrown away.

    `chunked`: it comes by BDAT, and `end` has to be called when all of it is here.
    """

    def __init__(
        self,
        spool: Path,
        spill_bytes: int,
        *,
        max_bytes: int,
        max_line_bytes: int,
        normalise: bool,
        threads: Executor,
        watch: SpoolWatch,
        chunked: bool = False,
        skip_received: bool = False,
    ) -> None:
        decoder = ChunkDecoder if chunked else DataDecoder
        self._decoder: MessageDecoder = decoder(normalise=normalise, max_line_bytes=max_line_bytes)
        self._writer = BodyWriter(spool, spill_bytes, skip_received=skip_received)
        self._max_bytes = max_bytes
        self._normalise = normalise
        self._threads = threads
        self._watch = watch
        self._trouble = ""
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self._refusal: Reply | None = None
        self.size = 0
        """Octets of the message so far, without the client's extra dots."""

    @property
    def is_refused(self) -> bool:
        """Whether `finish` will give the reason why there is no body, whatever else comes."""
        return self._refusal is not None

    def take(self, block: bytes) -> bytes | None:
        """None while the data goes on; at its end the octets behind it."""
        decoder = self._decoder
        self._collect(decoder.feed(block))
        return decoder.rest if decoder.ended else None

    def end(self) -> None:
        """For a chunked message: its last octet was taken."""
        self._collect(self._decoder.finish())

    def _collect(self, content: bytes) -> None:
        decoder = self._decoder
        self.size += len(content)
        if self._refusal is None:
            if self.size > self._max_bytes:
                self._refuse(TOO_BIG)
            elif decoder.has_strays and not self._normalise:
                self._refuse(BARE_NEWLINE)
            elif decoder.line_too_long:
                self._refuse(LINE_TOO_LONG)
            elif content:
                self._store(content)

    def _store(self, content: bytes) -> None:
        if self._backlog or self._writer.will_spill(len(content)):
            self._backlog.append(content)
            self._backlog_bytes += len(content)
        else:
            self._writer.write(content)

    @property
    def must_spill(self) -> bool:
        """Time to await `spill`: enough has come to be worth a thread, or nothing more will."""
        return self._backlog_bytes >= SPILL_PIECE or (self._decoder.ended and bool(self._backlog))

    async def spill(self) -> None:
        """Write the backlog to disk in a thread."""
        backlog, self._backlog, self._backlog_bytes = self._backlog, [], 0
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._write, backlog)
        except SpoolUnavailable as error:
            self._trouble = str(error)
            self._watch.failed(self._trouble)
            self._refuse(DISK_FULL if error.is_full else SPOOL_DOWN)
        else:
            self._watch.works()

    def _write(self, backlog: list[bytes]) -> None:
        for content in backlog:
            self._writer.write(content)

    def _refuse(self, reply: Reply) -> None:
        self._refusal = reply
        self.discard()

    def discard(self) -> None:
        """Forget what was collected."""
        self._backlog.clear()
        self._backlog_bytes = 0
        self._writer.discard()

    def finish(self) -> Body | Reply:
        """The body, or the reason why there is none. Call it once, at the end and when nothing `must_spill`."""
        if self._refusal is None:
            return self._writer.finish(is_plain=self._decoder.is_plain)
        if self._refusal is TOO_BIG:
            return TOO_BIG.says(f"the message has {self.size} octets, the limit is {self._max_bytes}")
        return self._refusal

    @property
    def event(self) -> dict[str, object] | None:
        """What the trace should tell: why the spool took nothing, or the strays that were replaced."""
        if self._trouble:
            return {"event": "spool", "error": self._trouble}
        decoder = self._decoder
        if not self._normalise or not decoder.has_strays:
            return None
        return {"event": "normalised", "cr": decoder.stray_cr, "lf": decoder.stray_lf, "nul": decoder.stray_nul}
