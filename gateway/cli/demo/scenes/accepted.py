"""A message that is accepted, and the file that came of it."""

from __future__ import annotations

import re

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import SENDER, Stage

_ACCEPTED = re.compile(r"^< 250 2\.0\.0 .* \[(\w+)\]$", re.MULTILINE)


def _play(stage: Stage) -> None:
    sent = stage.run("stellwerk", "send", "--from", SENDER, "--to", "anna@example.test", "hello.eml")
    told = _ACCEPTED.search(sent.output)
    stage.claim("the sender heard 250, with an id to ask about in brackets", sent.status == 0 and told is not None)
    arrived = stage.mail_of("anna")
    stage.claim("one file came of it", len(arrived) == 1)
    if arrived:
        shown = stage.run("head", "-n", "8", str(arrived[0]))
        stage.claim("the id stands in its Received field", told is not None and told[1] in shown.output)


SCENE = Scene(
    "A message is accepted",
    "`send` speaks SMTP to the gateway and then shows the trace. 250 means: it lies in the mailbox, safe on the disk.",
    _play,
)
