"""A rule of the plugin forwarding: explained first, then done."""

from __future__ import annotations

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import SENDER, Stage


def _play(stage: Stage) -> None:
    before = len(stage.mail_of("anna"))
    envelope = ("--from", SENDER, "--to", "anna@example.test", "invoice.eml")
    told = stage.run("stellwerk", "explain", *envelope)
    stage.claim(
        "`explain` names the rule and both copies",
        "'invoices'" in told.output and "accounts@example.test via mail" in told.output,
    )
    stage.claim("and nothing has happened so far", not stage.mail_of("accounts"))
    sent = stage.send("anna@example.test", "invoice.eml")
    stage.claim("one 250 for both copies", sent.status == 0)
    kept, forwarded = len(stage.mail_of("anna")) - before, len(stage.mail_of("accounts"))
    stage.claim("Anna kept her copy, and accounting has one", (kept, forwarded) == (1, 1))


SCENE = Scene(
    "A rule forwards a message and keeps a copy",
    'conf/stellwerk.toml has a rule: mail to Anna with "invoice" in its subject goes to accounting as well.\n'
    "The subject is encoded (RFC 2047), which the rule sees through. `explain` runs the same chain without doing it.",
    _play,
)
