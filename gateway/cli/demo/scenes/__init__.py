"""The scenes of the demo in the order they are played. A new one is a file here and a name in `SCENES`."""

from __future__ import annotations

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.scenes import accepted, crashing_plugin, directory, fan_out, forwarded, refused, traced

SCENES: tuple[Scene, ...] = (
    accepted.SCENE,
    refused.UNKNOWN,
    refused.TOO_LARGE,
    forwarded.SCENE,
    fan_out.SCENE,
    directory.ADDED,
    directory.LEFT,
    crashing_plugin.SCENE,
    traced.SCENE,
)
