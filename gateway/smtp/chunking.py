"""BDAT (RFC 3030): a message in chunks whose octets are counted. What becomes of a complete message is not known here.

Whoever cannot tell how many octets follow a BDAT must not read them as commands: then the conversation ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.mail.reply import BAD_ARGUMENT, CHUNK_TAKEN, CHUNKS_REFUSED, NOT_IMPLEMENTED, Reply
from gateway.mail.transaction import Transaction
from gateway.smtp.connection import GoodbyeError
from gateway.smtp.conversation import MAX_COMMAND
from gateway.smtp.intake import MessageIntake
from gateway.smtp.pace import Pace
from gateway.smtp.transfer import MessageTransfer

# RFC 3030 2; a size as long as that of SIZE (RFC 1870 3).
_COMMAND = re.compile(rb"BDAT +([0-9]{1,20})( +LAST)? *\r?\n", re.IGNORECASE)
_WORTH_A_COMMAND = 512  # a smaller chunk brings so little that it counts as a command without mail


@dataclass(frozen=True, slots=True)
class Chunk:
    """`size` octets follow the command; with `last` the message ends behind them."""

    size: int
    last: bool


def read_chunk(line: bytes) -> Chunk | None:
    """A BDAT command with its line end. None when it does not tell how many octets follow."""
    found = _COMMAND.fullmatch(line) if len(line) <= MAX_COMMAND else None
    return None if found is None else Chunk(int(found[1]), found[2] is not None)


class ChunkTransfer(MessageTransfer):
    """A conversation that can take messages by BDAT as well."""

    _pace: Pace | None = None  # of the chunks of one message, the time between them included
    _chunks_refused = False

    async def take_chunk(self, line: bytes) -> None:
        """BDAT: `line` is the command, the octets of the chunk follow."""
        chunk = read_chunk(line) if line.endswith(b"\r\n") or self.service.normalises_newlines else None
        if not self.service.listener.chunking:
            raise self._out_of_step(NOT_IMPLEMENTED)
        if chunk is None:
            raise self._out_of_step(
                BAD_ARGUMENT.says("expected BDAT, the number of octets that follow, and maybe LAST")
            )
        if chunk.size < _WORTH_A_COMMAND and not chunk.last:
            self._count_idle()
        await self._in_step(self._take(chunk))

    def _out_of_step(self, reply: Reply) -> GoodbyeError:
        if self._transaction is not None:  # its story tells too; without one the farewell's line is all
            self._note(reply)
        return GoodbyeError(reply)

    async def _take(self, chunk: Chunk) -> None:
        transaction = self._transaction
        pace = self._pace
        if pace is None or (transaction is not None and self._intake is None):
            pace = self._pace = self._new_pace()
        elif not pace.waited(self.service.loop.time()):
            raise GoodbyeError(self._too_slow())
        if transaction is None or not transaction.recipient_count:
            await self._skip(pace, chunk)
        else:
            await self._receive(pace, chunk, transaction)
        if self._pace is not None:
            self._wait_until(self._pace)  # a pause before the next chunk is a pause in the data

    async def _receive(self, pace: Pace, chunk: Chunk, transaction: Transaction) -> None:
        intake = self._intake = self._intake or self.service.new_intake(chunked=True)
        missing = chunk.size
        while missing:
            block = self.incoming.take_octets(missing)
            if block is None:
                await self._await_data(pace)
                continue
            missing -= len(block)
            intake.take(block)
            if intake.must_spill:
                await intake.spill()
        if chunk.last:
            intake.end()
            if intake.must_spill:
                await intake.spill()
            await self._finish(transaction, intake)
        elif intake.is_refused:
            self._refuse_chunk(transaction, intake)
        else:
            self._say(CHUNK_TAKEN)

    def _refuse_chunk(self, transaction: Transaction, intake: MessageIntake) -> None:
        """What is refused already is said at once, so that the client need not send the rest."""
        outcome = intake.finish()
        assert isinstance(outcome, Reply)
        self._transaction = None
        reply = self._turned_down(transaction, outcome, intake)
        pace = self._pace
        self._end_transaction()
        self._pace, self._chunks_refused = pace, True
        self._answer((reply,))

    async def _skip(self, pace: Pace, chunk: Chunk) -> None:
        """Read a chunk that belongs to no message, and say so.

        RFC 3030 2: chunks that were under way when an earlier one was refused are no mistake of the client's.
        """
        missing = chunk.size
        while missing:
            block = self.incoming.take_octets(missing)
            if block is None:
                await self._await_data(pace)
            else:
                missing -= len(block)
        if self._transaction is None and self._chunks_refused:
            self._say(self._tagged(CHUNKS_REFUSED))
            if chunk.last:
                self._end_transaction()
        else:
            self._pace = None
            self._refuse(self._no_recipients, by_policy=self._refused_recipients)

    def _end_transaction(self) -> None:
        super()._end_transaction()
        self._pace = None
        self._chunks_refused = False
