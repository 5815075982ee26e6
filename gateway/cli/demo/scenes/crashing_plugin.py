"""A plugin that raises: the mail stays with its sender, and the trace says whose fault it is."""

from __future__ import annotations

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import Stage


def _play(stage: Stage) -> None:
    before = len(stage.mail_of("bo"))
    sent = stage.send("bo@example.test", "crash.eml")
    stage.claim("451: the sending server keeps the mail and tries again", "< 451 4.3.0" in sent.output)
    stage.claim(
        "the trace names the plugin, the error, file and line",
        "fragile.message_received" in sent.output and "RuntimeError: the bug of the demo (fragile.py:" in sent.output,
    )
    stage.claim("nothing was delivered half", len(stage.mail_of("bo")) == before)
    again = stage.send("bo@example.test", "hello.eml")
    stage.claim("other mail goes through all the while", again.status == 0)


SCENE = Scene(
    "A plugin crashes",
    'plugins/fragile.py raises. Its policy is on_error = "tempfail": a bug is never the sender\'s fault.',
    _play,
)
