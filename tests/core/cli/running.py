"""A whole gateway for tests of the command line: its configuration, and commands with their exit status."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.integration.gateway_process import STELLWERK

CONFIG = """\
plugins = []
[server]
hostname = "gw.example.test"
state_dir = "state"
[store]
url = "sqlite:///state/stellwerk.db"
auto_upgrade = true
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[[listener]]
name = "queue"
protocol = "lmtp"
role = "filter"
address = "unix:{directory}/lmtp.sock"
trusted_peers = ["127.0.0.1/32"]
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
[hosted."example.test"]
mailboxes = ["anna", "bo"]
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    status: int
    output: str
    errors: str


async def stellwerk(config: Path, *arguments: str, stdin: bytes | None = None) -> Ran:
    """`stellwerk ARGUMENTS --config FILE`, run in the directory of the file."""
    command, *rest = arguments
    process = await asyncio.create_subprocess_exec(
        STELLWERK,
        command,
        "--config",
        str(config),
        *rest,
        cwd=config.parent,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, output.decode(), errors.decode())
