"""The recipe `after-queue-smtp`: behind Postfix's queue, with one answer for all recipients of a message."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.postfix_recipes.after_queue import AfterQueue
from gateway.postfix_recipes.recipe import RecipeUnavailable


@dataclass(frozen=True, slots=True)
class AfterQueueSmtp(AfterQueue):
    """See `AfterQueue`. `gateway` is a `host:port`, since Postfix's SMTP client does not speak to UNIX sockets."""

    name = "after-queue-smtp"
    when = "as after-queue-lmtp, where something between Postfix and Stellwerk speaks SMTP only: one answer for all"
    protocol = "smtp"

    def __post_init__(self) -> None:
        if self.gateway.startswith("unix:"):
            raise RecipeUnavailable(
                f"the SMTP listener has the address {self.gateway}: Postfix's SMTP client does not speak to UNIX "
                "sockets; choose after-queue-lmtp, or a port on 127.0.0.1"
            )
        # the class that super() without arguments means is the one before slots=True made this one
        super(AfterQueueSmtp, self).__post_init__()
