"""The recipe `after-queue-lmtp`: behind Postfix's queue, with an answer for each recipient."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.postfix_recipes.after_queue import AfterQueue


@dataclass(frozen=True, slots=True)
class AfterQueueLmtp(AfterQueue):
    """See `AfterQueue`."""

    name = "after-queue-lmtp"
    when = "the recommended one: Postfix queues first, and each recipient gets an answer of its own"
    protocol = "lmtp"
