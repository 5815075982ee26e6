"""The chunks of one message that go before its last (RFC 3030), and the reply that each of them is owed.

The last chunk, which is the point of no return, and what the replies mean for recipients are in transaction.py.
"""

from __future__ import annotations

import asyncio

from gateway.delivery.connection import Connection, HopReply, OutOfStep
from gateway.delivery.wire import Data, bdat


class Chunks:
    """Sends chunks on `connection`, without waiting for replies where the hop offers PIPELINING.

    `unanswered` counts the chunks whose replies did not come yet. After a reply of 4xx or 5xx to one of them no message
    can come of it any more. Each step may take `step_seconds`, all of it lasts until `deadline`.
    """

    def __init__(self, connection: Connection, step_seconds: float, deadline: float) -> None:
        self._connection = connection
        self._step_seconds = step_seconds
        self._deadline = deadline
        self.unanswered = 0
        self._refusal: HopReply | None = None

    async def send(self, data: Data) -> HopReply | None:
        """One chunk. The refusal of one so far, if any; all replies are in then, as far as the hop gives them.

        Raises `ConnectionBroken`, TimeoutError.
        """
        connection = self._connection
        connection.write(bdat(data, last=False))
        connection.write(data)
        self.unanswered += 1
        await self._flow()
        if self._refusal is None and connection.capabilities.pipelining:
            return None
        while self.unanswered and not connection.says_goodbye:
            self._judge(await connection.replies(1, step_seconds=self._step_seconds, until=self._deadline))
        if not connection.silent:
            raise OutOfStep(f"more replies than chunks: {connection.leftover}")
        return self._refusal

    def refused_among(self, replies: list[HopReply]) -> HopReply | None:
        """The refusal of a chunk, when `replies` are those that came for chunks after the last was sent."""
        self._judge(replies)
        return self._refusal

    def _judge(self, replies: list[HopReply]) -> None:
        for reply in replies:
            if not self.unanswered:
                raise OutOfStep(f"more replies than chunks: {reply.cleaned()}")
            if 300 <= reply.code < 400:
                raise OutOfStep(f"BDAT was answered with {reply.cleaned()}")
            self.unanswered -= 1
            if reply.code >= 400 and self._refusal is None:
                self._refusal = reply

    async def _flow(self) -> None:
        """Until more may be written, or a chunk is refused."""
        connection = self._connection
        await asyncio.sleep(0)  # a hop that takes everything at once does not hold up all other mail
        self._judge(connection.take())
        while not connection.writable and self._refusal is None:
            await connection.drained(step_seconds=self._step_seconds, until=self._deadline)
            self._judge(connection.take())
