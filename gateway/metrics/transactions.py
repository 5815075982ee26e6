"""Counts transactions by listener where their stories end. Plain numbers of one event loop: no lock, no library."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.mail.reply import Reply
from gateway.metrics.families import TRANSACTION_BUCKETS
from gateway.metrics.snapshot import Histogram, Snapshot

VERDICTS = ("accepted", "deferred", "refused", "abandoned")
_BY_DIGIT = (0, 0, 0, 1, 1, 2)  # a reply's first digit to the index of its verdict
_ABANDONED = 3


def verdict_of(reply: Reply | None) -> str:
    """The word for what the client heard; None: nothing, since no data came."""
    return VERDICTS[_ABANDONED if reply is None else _BY_DIGIT[reply.code // 100]]


class _OfListener:
    __slots__ = ("messages", "octets", "recipients", "seconds")

    def __init__(self) -> None:
        self.messages = [0] * len(VERDICTS)
        self.recipients = [0] * (len(VERDICTS) - 1)
        self.octets = 0
        self.seconds = Histogram(TRANSACTION_BUCKETS)


class TransactionCounts:
    """What became of the transactions of this process."""

    def __init__(self) -> None:
        self._listeners: dict[str, _OfListener] = {}
        self.lost_stories = 0

    def count(
        self, listener: str, reply: Reply | None, replies: Sequence[Reply], refused: Sequence[Mapping[str, Any]],
        size: int, began: float,
    ) -> None:  # fmt: skip
        """One transaction. `refused`: who was refused at RCPT; `began`: perf_counter() at the end of data."""
        counts = self._listeners.get(listener)
        if counts is None:
            counts = self._listeners[listener] = _OfListener()
        counts.octets += size
        for at_rcpt in refused:
            counts.recipients[1 if str(at_rcpt.get("reply")).startswith("4") else 2] += 1
        if reply is None:
            counts.messages[_ABANDONED] += 1
            return
        counts.messages[_BY_DIGIT[reply.code // 100]] += 1
        for each in replies:
            counts.recipients[_BY_DIGIT[each.code // 100]] += 1
        counts.seconds.observe(time.perf_counter() - began)

    def put(self, snapshot: Snapshot) -> None:
        for listener, counts in self._listeners.items():
            for verdict, number in zip(VERDICTS, counts.messages, strict=True):
                snapshot.put("stellwerk_messages", (listener, verdict), number)
            for verdict, number in zip(VERDICTS, counts.recipients, strict=False):
                snapshot.put("stellwerk_recipients", (listener, verdict), number)
            snapshot.put("stellwerk_message_bytes", (listener,), counts.octets)
            snapshot.put("stellwerk_transaction_seconds", (listener,), *counts.seconds.numbers)
        snapshot.put("stellwerk_traces_lost", (snapshot.role,), self.lost_stories)
