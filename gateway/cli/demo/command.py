"""`stellwerk demo`: plays the scenes one after the other. Exit status 1 when a step did not do what the demo claims."""

from __future__ import annotations

import sys

import click

from gateway.cli.demo.scenes import SCENES
from gateway.cli.demo.stage import Stage


@click.command()
@click.option("--step", is_flag=True, help="On a terminal: wait for a key after each scene.")
@click.option("--keep", is_flag=True, help="Leave the directory with configuration, mail and database.")
def demo(step: bool, keep: bool) -> None:
    """Start a gateway of its own in a new directory and show what it does; nothing else on this machine is touched.

    It takes less than a minute. Exit status 1 when a step did not do what the demo claims.
    """
    with Stage.open(keep=keep) as stage:
        for number, scene in enumerate(SCENES, 1):
            click.secho(f"\n{number}/{len(SCENES)}  {scene.title}", bold=True)
            click.echo(scene.shows)
            scene.play(stage)
            if step and scene is not SCENES[-1]:
                _wait_for_a_key()
        failed = stage.failed
    click.echo()
    if failed:
        click.echo(f"{len(failed)} of {stage.claims} claims did not hold:", err=True)
        for claim in failed:
            click.echo(f"  {claim}", err=True)
        sys.exit(1)
    click.echo(f"All {stage.claims} claims held. The same commands work on a gateway of your own: make run")


def _wait_for_a_key() -> None:
    """Only on a terminal. Ctrl-C ends the demo, which `click.pause` would take for a key."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        click.echo("-- any key: the next scene; Ctrl-C: the end --")
        click.getchar()
