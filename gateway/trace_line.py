"""The fields of a transaction's log line. No content of the message stands in them: no subject, no body, no header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.mail.message import TagValue
from gateway.metrics.transactions import verdict_of

if TYPE_CHECKING:
    from gateway.trace import Story

MAX_TOLD = 50


def transaction_fields(story: Story, sender: str, refused: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One line a transaction: who, to whom, what they heard, what the next hops said, how long it took.

    `refused`: the events of recipients refused at RCPT. Empty fields are left out, the sender's apart: empty, it is the
    null sender.
    """
    transaction = story.transaction
    session, client = transaction.session, transaction.session.client
    mark = f" [{transaction.id}]"
    reply = "" if story.reply is None else str(story.reply).removesuffix(mark)
    heard = [
        (reply if each is story.reply else str(each).removesuffix(mark), str(recipient.address))
        for recipient, each in zip(transaction.recipients, story.replies, strict=False)
    ] or [("", str(recipient.address)) for recipient in transaction.recipients]
    heard += [(str(event["reply"]), str(event["recipient"])) for event in refused]
    steps = [((step["via"], step["state"], step["reply"]), step["to"]) for step in story.steps if step["via"]]
    fields: dict[str, Any] = {
        "id": transaction.id,
        "session": session.id,
        "verdict": verdict_of(story.reply),
        "listener": session.listener,
        "client": client.address or "unknown",
        "helo": client.helo or session.helo,
        "tls": session.tls,
        "login": "" if session.identity is None else str(session.identity.address),
        "queue_id": client.ident,
        "sender": sender,
        "recipients": [{"reply": said, "to": to, **more} for said, to, more in together(heard)],
        "size": story.size,
        "reply": reply,
        "deliveries": [
            {"via": via, "state": state, "reply": said, "to": to, **more}
            for (via, state, said), to, more in together(steps)
        ],
        "tags": {name: _shown(value) for name, value in transaction.tags.items()},
        "seconds": story.seconds(),
    }
    return {key: value for key, value in fields.items() if value or key == "sender" or key == "size"}


def _shown(value: TagValue) -> TagValue:
    """A text may be a piece of the message, whatever plugin made it: the line has its length, the trace the text."""
    return f"text of {len(value)} characters" if isinstance(value, str) else value


def together(pairs: Sequence[tuple[Any, str]]) -> list[tuple[Any, list[str], dict[str, int]]]:
    """(what was said, to whom, `left_out` when they are too many) for (what was said, to one) pairs."""
    found: dict[Any, list[str]] = {}
    if len(pairs) == 1:
        return [(pairs[0][0], [pairs[0][1]], {})]
    for said, to in pairs:
        found.setdefault(said, []).append(to)
    return [
        (said, to[:MAX_TOLD], {"left_out": len(to) - MAX_TOLD} if len(to) > MAX_TOLD else {})
        for said, to in list(found.items())[:MAX_TOLD]
    ]
