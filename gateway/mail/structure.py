"""The MIME structure of a message: parsed behind a guard, and copied, since Python's tree can be changed by who has it.

Both take time in proportion to the message and are for a thread.
"""

from __future__ import annotations

import email.policy
import logging
from copy import copy
from email.message import Message as ParsedMessage
from email.parser import BytesFeedParser
from typing import cast

from gateway.mail.body import Body

log = logging.getLogger("stellwerk.plugins")


def parse(body: Body) -> ParsedMessage | None:
    """Python's parser raises on hostile input in many ways (fault catalogue, finding 5): then there is no structure.

    Fed in pieces: given a 34 MB message whole it takes 290 MB of memory, in pieces 90.
    """
    try:
        parser = BytesFeedParser(policy=email.policy.compat32)
        for chunk in body.chunks():
            parser.feed(chunk)
        return parser.close()
    except Exception:  # noqa: BLE001 - see above; the message itself goes on untouched
        log.info("a message could not be parsed; it goes on untouched")
        return None


def copied(tree: ParsedMessage) -> ParsedMessage:
    """A tree of its own with the same texts, which are shared: it costs by the part and the field, not by the octet.

    Not `deepcopy`, which calls itself several times a level: a message nests deeper than Python's stack allows then.
    """
    top = _own(tree)
    waiting = [top]
    while waiting:
        part = waiting.pop()
        if part.is_multipart():
            below = [_own(cast("ParsedMessage", each)) for each in part.get_payload()]
            part.set_payload([*below])
            waiting += below
    return top


def _own(part: ParsedMessage) -> ParsedMessage:
    """A copy with lists of its own, but for the parts below. Its text is not asked for, since asking decodes it."""
    own = copy(part)
    vars(own).update(_headers=[*part.raw_items()], defects=[*part.defects])
    return own
