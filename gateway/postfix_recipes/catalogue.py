"""The recipes that put something into Postfix's configuration, in the order in which they are listed."""

from __future__ import annotations

from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.after_queue_smtp import AfterQueueSmtp
from gateway.postfix_recipes.before_queue_proxy import BeforeQueueProxy
from gateway.postfix_recipes.beside_rspamd import BesideRspamd
from gateway.postfix_recipes.edge import Edge
from gateway.postfix_recipes.outbound_apart import OutboundApart
from gateway.postfix_recipes.own_mail_signed import OwnMailSigned
from gateway.postfix_recipes.recipe import Recipe
from gateway.postfix_recipes.recipients import Recipients
from gateway.postfix_recipes.submission import Submission

CATALOGUE: tuple[type[Recipe], ...] = (
    AfterQueueLmtp,
    AfterQueueSmtp,
    BeforeQueueProxy,
    Edge,
    Submission,
    OutboundApart,
    BesideRspamd,
    OwnMailSigned,
    Recipients,
)
