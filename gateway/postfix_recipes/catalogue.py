"""The recipes that put something into Postfix's configuration, in the order in which they are listed."""

from __future__ import annotations

from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.after_queue_smtp import AfterQueueSmtp
from gateway.postfix_recipes.before_queue_proxy import BeforeQueueProxy
from gateway.postfix_recipes.edge import Edge
from gateway.postfix_recipes.recipe import Recipe

CATALOGUE: tuple[type[Recipe], ...] = (AfterQueueLmtp, AfterQueueSmtp, BeforeQueueProxy, Edge)
