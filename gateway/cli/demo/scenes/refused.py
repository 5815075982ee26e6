"""Messages that are refused: for a mailbox that does not exist, and for their size."""

from __future__ import annotations

import base64

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import Stage

_ATTACHMENT_BYTES = 150_000


def _unknown(stage: Stage) -> None:
    sent = stage.send("nobody@example.test", "hello.eml")
    stage.claim("550 at RCPT: no bounce to a possibly forged sender", sent.status == 1 and "< 550 5.1.1" in sent.output)
    stage.claim("nothing was delivered", not stage.mail_of("nobody"))


def _too_large(stage: Stage) -> None:
    content = (stage.directory / "hello.eml").read_bytes() + base64.encodebytes(bytes(_ATTACHMENT_BYTES))
    large = stage.write("large.eml", content)
    before = len(stage.mail_of("anna"))
    sent = stage.send("anna@example.test", large)
    stage.claim("552 by the plugin size_limit", sent.status == 1 and "< 552 5.3.4" in sent.output)
    stage.claim("the data was not even sent, and nothing was delivered", len(stage.mail_of("anna")) == before)


UNKNOWN = Scene(
    "An unknown recipient is refused",
    "There is no mailbox nobody@example.test. The sending server is told so while it can still tell its user.",
    _unknown,
)
TOO_LARGE = Scene(
    "A message that is too large is refused",
    "The plugin size_limit takes 100,000 octets here. The announced SIZE is enough to refuse by.",
    _too_large,
)
