"""The edge alone in a process of its own, with the fake pipeline behind it: `python -m tests.core.smtp.fake_server`.

Prints the port it listens on. For measuring, and for tests that break the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tomllib
from pathlib import Path

import uvloop

from gateway.config.listener import ListenerConfig
from gateway.config.models import LimitsConfig
from gateway.smtp.serving import serve
from tests.core.smtp.fake_pipeline import FakePipeline


async def run(listener: ListenerConfig, *, keep: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        await serve(listener, LimitsConfig(), Path("/tmp"), "gw.example.test", sock, FakePipeline(keep_bodies=keep))
        print(sock.getsockname()[1], flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    settings = {"name": "mx", "address": "127.0.0.1:0", "greeting_delay_ms": 0} | tomllib.loads("\n".join(options.set))
    listener = ListenerConfig.model_validate(settings)
    loop_factory = uvloop.new_event_loop if options.uvloop else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run(listener, keep=options.keep))


if __name__ == "__main__":
    main()
