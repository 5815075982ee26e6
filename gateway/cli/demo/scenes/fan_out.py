"""One address that stands for several."""

from __future__ import annotations

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import Stage

_MEMBERS = ("anna", "bo", "cleo")


def _play(stage: Stage) -> None:
    before = {member: len(stage.mail_of(member)) for member in _MEMBERS}
    sent = stage.send("team@example.test", "meeting.eml")
    stage.claim("250 once every copy has arrived", sent.status == 0 and sent.output.count(": done") >= len(_MEMBERS))
    newest = [stage.mail_of(member)[-1] for member in _MEMBERS if len(stage.mail_of(member)) == before[member] + 1]
    if newest:
        stage.run("grep", "-H", "Subject", *map(str, newest))
    stage.claim("all three have one copy each, and the team's own mailbox none", _is_so(stage, len(newest)))


def _is_so(stage: Stage, copies: int) -> bool:
    return copies == len(_MEMBERS) and not stage.mail_of("team")


SCENE = Scene(
    "One address fans out to several",
    "team@example.test is redirected to three people. If a copy failed, the sender's retry would bring that one only.",
    _play,
)
