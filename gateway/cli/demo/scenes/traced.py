"""What an administrator asks afterwards."""

from __future__ import annotations

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import Stage


def _play(stage: Stage) -> None:
    latest = stage.run("stellwerk", "trace", "--last", "100")
    stage.claim("every transaction of this demo is there", len(latest.output.splitlines()) == stage.sent)
    asked = stage.run("stellwerk", "trace", "--to", "nobody@")
    stage.claim("a refused recipient is found too", asked.status == 0 and "550 5.1.1" in asked.output)


SCENE = Scene(
    "Ask what happened",
    "Every transaction leaves a story, refusals too. `stellwerk trace ID` tells one of them, as `send` did above.",
    _play,
)
