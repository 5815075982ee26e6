"""One mail transaction on an open connection: envelope, data, and what each reply means for each copy.

The point of no return is the final dot, or the last octet of BDAT LAST, which is called the dot here as well: before it
everything can be broken off, after it only the next hop knows.
Connections are opened and lent elsewhere (opening.py, pool.py).
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

from gateway.delivery.commands import CannotSend, Envelope, envelope
from gateway.delivery.connection import Connection, ConnectionBroken, HopReply, OutOfStep
from gateway.delivery.content import Encoder, Pieces, fits_one_write, whole
from gateway.delivery.transport import Batch, Outcome, Result, Results
from gateway.delivery.wire import ChunkEncoder, Data, DataEncoder, UnsafeContent, bdat
from gateway.mail.reply import (
    BARE_NEWLINE,
    DEADLINE_PASSED,
    INTERNAL_ERROR,
    NEXT_HOP_BROKE_OFF,
    NEXT_HOP_MISCONFIGURED,
    Reply,
)

log = logging.getLogger(__name__)

Chunking = Literal["never", "large", "always"]
_ABOUT_US = frozenset({530, 534, 535, 538})
"""The hop wants a login or TLS first (RFC 4954 section 6, RFC 3207 section 4): no word about sender or recipient."""


class StaleConnection(Exception):
    """It turned out to be dead before MAIL was answered, or 421 was the answer: nothing has happened."""


class StillOpen(Exception):
    """The deadline passed after the final dot; `Transaction.outcome` may be awaited again with a later one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to speak to one next hop. `chunking` says which messages go by BDAT where it is offered.

    `complaints` remembers with which codes it refused XFORWARD or wanted a login, so that the log says it once.
    """

    lmtp: bool
    xforward: bool
    reply_timeout_seconds: float
    data_done_timeout_seconds: float
    chunking: Chunking = "large"
    complaints: set[tuple[str, int]] = field(default_factory=set)


class Transaction:
    """Hands one batch over on `connection`. `dot_sent` tells whether the next hop may have taken it.

    `may_be_repeated`: whoever runs it can do so once more on another connection, see `StaleConnection`.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        batch: Batch,
        deadline: float,
        disk: Executor,
        *,
        may_be_repeated: bool,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._batch = batch
        self._deadline = deadline
        self._disk = disk
        self._may_be_repeated = may_be_repeated
        self._loop = asyncio.get_running_loop()
        self._results: list[Result | None] = [None] * len(batch.copies)
        self._accepted: list[int] = []
        self._replies: list[HopReply] = []
        self._dot_at = 0.0
        self.dot_sent = False

    async def run(self) -> Results:
        """Raises `StaleConnection`, or `StillOpen` at the deadline; other trouble is in the results."""
        if await self._hand_over():
            return await self.outcome(self._deadline)
        return self._finished()

    async def outcome(self, until: float) -> Results:
        """The next hop's word on the final dot. `StillOpen` when the loop time `until` comes before it may be late."""
        connection = self._connection
        too_late = self._dot_at + self._settings.data_done_timeout_seconds
        count = len(self._accepted) if self._settings.lmtp else 1
        replies: list[HopReply] = []
        trouble, in_step, overdue = "", True, False
        try:
            replies = await connection.replies(count, until=min(until, too_late))
        except TimeoutError:
            trouble, overdue = "no reply to the final dot", True
        except ConnectionBroken as error:
            trouble, in_step = str(error), not isinstance(error, OutOfStep)
        if connection.unsent:
            # The dot is still in our hands: whatever was said is no answer to it, and it can be taken back.
            self.dot_sent = False
            self._break_off(Outcome.DEFERRED, NEXT_HOP_BROKE_OFF, trouble or "a reply before the end of the message")
            return self._finished()
        if overdue and until < too_late:
            raise StillOpen
        self._judge_final(replies or connection.take(), trouble, in_step)
        return self._finished()

    def so_far(self, detail: str) -> Results:
        """The results as they would be if nothing more were learned."""
        results = list(self._results)
        if self._settings.lmtp:
            for index, reply in zip(self._accepted, self._connection.received, strict=False):
                results[index] = self._result(reply)
        unknown = self._ours(Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF, detail)
        return tuple(result or unknown for result in results)

    # Before the dot

    async def _hand_over(self) -> bool:
        """Everything up to the final dot; false when the results are already complete."""
        connection = self._connection
        connection.transactions += 1
        chunked = self._goes_by_chunks()
        try:
            small = None if chunked or not fits_one_write(self._batch) else self._encode_small()
            commands = envelope(
                self._batch,
                connection.capabilities,
                reset=connection.needs_reset,
                xforward=self._settings.xforward,
                data=not chunked,
            )
        except CannotSend as refusal:
            self._rest(Outcome.REFUSED, refusal.reply)
            return False
        except UnsafeContent:
            self._rest(Outcome.REFUSED, BARE_NEWLINE)
            return False
        try:
            connection.needs_reset = True
            await self._send_envelope(commands)
            if self._may_be_repeated and self._is_stale(commands):
                raise StaleConnection(self._replies[-1].cleaned() if self._replies else "it did not answer MAIL")
            if not self._judge_envelope(commands):
                return False
            await (self._send_chunk() if chunked else self._send_data(small))
        except UnsafeContent:
            self._break_off(Outcome.REFUSED, BARE_NEWLINE)
        except TimeoutError:
            late = self._loop.time() >= self._deadline
            self._break_off(Outcome.DEFERRED, DEADLINE_PASSED if late else NEXT_HOP_BROKE_OFF, "too slow")
        except ConnectionBroken as error:
            self._replies += connection.take()
            if self._may_be_repeated and not isinstance(error, OutOfStep) and self._is_stale(commands):
                raise StaleConnection(str(error)) from error
            self._judge_broken(error, commands)
        except OSError as error:
            self._break_off(Outcome.DEFERRED, INTERNAL_ERROR, f"reading the spool: {error}")
        return self.dot_sent

    async def _send_envelope(self, commands: Envelope) -> None:
        connection = self._connection
        step = self._settings.reply_timeout_seconds
        if connection.capabilities.pipelining:
            connection.write(commands.wire)
            self._replies = await connection.replies(commands.count, step_seconds=step, until=self._deadline)
            return
        mail = commands.preamble
        for number, command in enumerate(commands.lines()):
            is_data = commands.has_data and number == commands.count - 1
            if is_data and all(reply.code >= 400 for reply in self._replies[mail + 1 :]):
                return
            if not connection.silent:
                raise OutOfStep(f"more replies than commands: {connection.leftover}")
            connection.write(command)
            reply = (await connection.replies(1, step_seconds=step, until=self._deadline))[0]
            self._replies.append(reply)
            if reply.code == 421 or (number == mail and reply.code >= 400):
                return

    def _is_stale(self, commands: Envelope) -> bool:
        """Whether MAIL got no answer, or 421, as from a hop that was closing the connection anyway."""
        mail = self._replies[commands.preamble : commands.preamble + 1]
        return not mail or mail[0].code == 421

    def _judge_envelope(self, commands: Envelope) -> bool:
        """Whether data may follow: for `_accepted`; everybody else has a result."""
        replies, preamble = self._replies, commands.preamble
        codes = [reply.code for reply in replies]
        usual = [250] * (commands.count - 1) + [354 if commands.has_data else 250]
        if codes == usual and self._connection.silent:
            self._accepted = list(range(len(self._batch.copies)))  # as nearly always
            return True
        if preamble:
            self._judge_preamble(commands.lines()[:preamble])
        self._judge_recipients(replies[preamble:])
        complete = len(replies) == commands.count
        if complete and commands.has_data and 200 <= replies[-1].code < 400 and replies[-1].code != 354:
            raise OutOfStep(f"DATA was answered with {replies[-1].cleaned()}")
        if not self._connection.silent:
            raise OutOfStep(f"more replies than commands: {self._connection.leftover}")
        if not commands.has_data and complete:
            return bool(self._accepted)
        if not complete or replies[-1].code != 354:
            # DATA was refused, or everybody was, or a 421 cut the rest short.
            last = self._result(replies[-1])
            self._results = [result or last for result in self._results]
            return False
        if not self._accepted:
            # It would take data for nobody; leaving is the only answer that cannot be misunderstood.
            self._connection.abort()
            return False
        return True

    def _judge_preamble(self, commands: list[bytes]) -> None:
        for command, reply in zip(commands, self._replies, strict=False):
            if reply.code < 300 or reply.code == 421:
                continue
            if not command.startswith(b"XFORWARD") or reply.code < 400:
                raise OutOfStep(f"{command[:8].decode().strip()} was answered with {reply.cleaned()}")
            # Its loss costs the next hop's log a name, not the mail.
            self._complain("XFORWARD", reply, f"{self._connection.label} refuses XFORWARD: {reply.cleaned()}")

    def _judge_broken(self, error: ConnectionBroken, commands: Envelope) -> None:
        """It broke before the dot. What was refused by then stays refused, unless replies and commands do not match."""
        if not isinstance(error, OutOfStep) and not self._accepted:
            try:
                self._judge_recipients(self._replies[commands.preamble :])
            except OutOfStep as worse:
                error = worse
        if isinstance(error, OutOfStep):
            log.warning("%s: out of step: %s", self._connection.label, error)
            self._results = [None] * len(self._results)
        self._break_off(Outcome.DEFERRED, NEXT_HOP_BROKE_OFF, str(error))

    def _judge_recipients(self, replies: list[HopReply]) -> None:
        """Results of the copies that MAIL or RCPT refused; the others are `_accepted`."""
        self._accepted.clear()
        if not replies:
            return
        mail = replies[0]
        if not (200 <= mail.code < 300 or mail.code >= 400):
            raise OutOfStep(f"MAIL was answered with {mail.cleaned()}")
        for index in range(len(self._batch.copies)):
            reply = mail if mail.code >= 400 else replies[index + 1] if index + 1 < len(replies) else None
            if reply is None:
                return
            if reply.code >= 400:
                self._results[index] = self._result(reply)
            elif reply.code < 300:
                self._accepted.append(index)
            else:
                raise OutOfStep(f"RCPT was answered with {reply.cleaned()}")

    # The data

    def _goes_by_chunks(self) -> bool:
        """Whether by BDAT. A small message has nothing of it: DATA comes to as many round trips (decision 014)."""
        if not self._connection.capabilities.chunking:
            return False
        chunking = self._settings.chunking
        return chunking == "always" or (chunking == "large" and not fits_one_write(self._batch))

    def _encode_small(self) -> bytes:
        """The whole data with its dot."""
        encoder = DataEncoder()
        return b"".join((*whole(self._batch, encoder), encoder.end()))

    async def _send_data(self, small: bytes | None) -> None:
        if small is None:
            encoder = DataEncoder()
            await self._send_piece(await self._send_all_but_last(encoder))
            small = encoder.end()
        self._write_last(small)

    async def _send_chunk(self) -> None:
        """The message by BDAT, in one chunk whatever its size.

        Of several each would be owed a reply, and one too many among those could pass for that to the last.
        """
        batch = self._batch
        encoder = ChunkEncoder()
        length = batch.edits.length(batch.body)
        if fits_one_write(batch):
            last: Data = b"".join((bdat(length), *whole(batch, encoder)))
        else:
            self._connection.write(bdat(length))
            last = await self._send_all_but_last(encoder)
        encoder.end()
        if encoder.length != length:
            raise OSError(f"the message has {encoder.length} octets, and {length} were announced")
        self._write_last(last)

    def _write_last(self, data: Data) -> None:
        """The point of no return."""
        self._check_silence()
        if self._loop.time() >= self._deadline:
            raise TimeoutError
        self._connection.write(data)
        self.dot_sent = True
        self._dot_at = self._loop.time()

    async def _send_all_but_last(self, encoder: Encoder) -> Data:
        """A large message, but for its last piece, which is returned."""
        pieces = Pieces(self._batch, encoder, self._disk)
        last = await pieces.first()
        while (data := await pieces.following()) is not None:
            await self._send_piece(last)
            last = data
        return last

    async def _send_piece(self, data: Data) -> None:
        connection = self._connection
        self._check_silence()
        connection.write(data)
        if connection.writable:
            await asyncio.sleep(0)  # a hop that takes everything at once does not hold up all other mail
        else:
            await connection.drained(step_seconds=self._settings.reply_timeout_seconds, until=self._deadline)

    def _answer_all(self, reply: HopReply) -> None:
        result = self._result(reply)
        self._results = [known or result for known in self._results]

    def _check_silence(self) -> None:
        """After 354 the next hop has nothing to say until the dot; if it does, its replies and ours do not match."""
        if not self._connection.silent:
            raise OutOfStep(f"a reply before the end of the message: {self._connection.leftover}")

    # After the dot

    def _judge_final(self, replies: list[HopReply], trouble: str, in_step: bool) -> None:
        connection = self._connection
        # A 421 behind the reply only says that the hop is closing; any other would belong to a message not sent by us.
        shutting_down = connection.says_goodbye and len(connection.received) == 1
        if in_step and not connection.silent and not shutting_down:
            trouble, in_step = f"more replies than messages: {connection.leftover}", False
        if any(300 <= reply.code < 400 for reply in replies):
            trouble, in_step = "the final dot was answered with 3xx", False
        if in_step and self._settings.lmtp:
            for index, reply in zip(self._accepted, replies, strict=False):
                self._results[index] = self._result(reply)
        elif in_step and replies:
            self._answer_all(replies[0])
        if in_step and not trouble and len(replies) == (len(self._accepted) if self._settings.lmtp else 1):
            connection.needs_reset = False
        else:
            log.warning("%s: outcome unknown after the final dot: %s", self._connection.label, trouble)
            self._break_off(Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF, trouble or "fewer replies than recipients")

    # Results

    def _result(self, reply: HopReply) -> Result:
        if reply.code < 400:
            return Result(Outcome.DONE, reply.cleaned(), self._connection.capabilities.dsn, self._connection.label)
        if reply.code in _ABOUT_US:
            problem = f"{self._connection.label} wants a login or TLS: {reply.cleaned()}; see docs/admin/next-hops.md"
            self._complain("login", reply, problem)
            return Result(Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED, where=problem)
        outcome = Outcome.DEFERRED if reply.code < 500 else Outcome.REFUSED
        return Result(outcome, reply.cleaned(), where=self._connection.label)

    def _complain(self, about: str, reply: HopReply, problem: str) -> None:
        """Once for each code is enough to say so."""
        complaints = self._settings.complaints
        if (about, reply.code) not in complaints:
            complaints.add((about, reply.code))
            log.warning("%s", problem)

    def _ours(self, outcome: Outcome, reply: Reply, detail: str = "") -> Result:
        where = f"{self._connection.label}: {detail}" if detail else self._connection.label
        return Result(outcome, reply, where=where)

    def _rest(self, outcome: Outcome, reply: Reply, detail: str = "") -> None:
        """Everybody without a result gets this one."""
        if None in self._results:
            ours = self._ours(outcome, reply, detail)
            self._results = [result or ours for result in self._results]

    def _break_off(self, outcome: Outcome, reply: Reply, detail: str = "") -> None:
        self._connection.abort()
        self._rest(outcome, reply, detail)

    def _finished(self) -> Results:
        return tuple([result for result in self._results if result is not None])
