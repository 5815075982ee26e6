"""`stellwerk serve`: runs the supervisor in the foreground."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, read_config

if TYPE_CHECKING:
    from gateway.config.models import Config


@click.command()
@config_option
def serve(config_path: Path) -> None:
    """Run the gateway in the foreground.

    SIGHUP takes the changed configuration over without losing a connection, SIGTERM lets running transactions finish.
    """
    import asyncio

    from gateway.logs import start_logging
    from gateway.supervisor.announcement import demo_command
    from gateway.supervisor.supervisor import Supervisor

    config = read_config(config_path)
    start_logging(config.log.level, config.log.format)

    def announce_ready(config: Config) -> None:
        click.echo(f"ready (process {os.getpid()}); stop with Ctrl-C")
        if command := demo_command(config, str(config_path)):
            click.echo(f"send a message through it:\n{command}")

    async def run() -> None:
        await Supervisor(config_path, click.echo).run(announce_ready)

    asyncio.run(run())
