"""The edge with the fake pipeline behind it, in the test's own event loop: asyncio's and uvloop's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.config.listener import ListenerConfig
from gateway.config.models import LimitsConfig
from gateway.smtp.serving import ListenerServer, serve
from tests.certificates import authority
from tests.core.smtp.client import Client, eventually
from tests.core.smtp.fake_pipeline import FakePipeline

HOSTNAME = "gw.example.test"


@dataclass
class Edge:
    """A listener at work."""

    server: ListenerServer
    pipeline: FakePipeline
    address: tuple[str, int] | str

    async def connect(self, source: str = "127.0.0.1") -> Client:
        """A connection, with nothing read yet."""
        return await Client.connect(self.address, source)

    async def greeted(self, hello: str = "EHLO client.test") -> Client:
        """A connection after its EHLO."""
        client = await self.connect()
        assert (await client.reply()).startswith("220 ")
        assert (await client.say(hello)).startswith("250")
        return client

    async def idle(self) -> None:
        """Until nobody is connected any more."""
        await eventually(lambda: not self.server.open_connections)


StartEdge = Callable[..., Awaitable[Edge]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test of this folder runs on both event loops that the gateway runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start_edge(tmp_path: Path) -> AsyncIterator[StartEdge]:
    """`await start_edge(setting=value, ...)`: listener settings; those of LimitsConfig go in `limits`."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            pipeline: FakePipeline | None = None,
            limits: dict[str, Any] | None = None,
            spool: Path = tmp_path,
            **more: Any,
        ) -> Edge:
            unix = more.pop("unix", None)
            sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
            stack.callback(sock.close)
            sock.bind(str(unix) if unix else ("127.0.0.1", 0))
            settings = {"name": "mx", "address": "127.0.0.1:0", "greeting_delay_ms": 0} | more
            listener = ListenerConfig.model_validate(settings)
            pipeline = pipeline or FakePipeline()
            tls = None if listener.tls == "none" else authority().server(listener)
            server = await serve(listener, LimitsConfig(**(limits or {})), spool, HOSTNAME, sock, pipeline, tls)
            stack.push_async_callback(server.drain, 0)
            return Edge(server, pipeline, sock.getsockname())

        yield start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """uvloop is what an installation runs on; the same on asyncio's own loop is for the long run."""
    here = Path(__file__).parent
    for item in items:
        callspec = getattr(item, "callspec", None)
        if item.path.is_relative_to(here) and callspec is not None and "asyncio" in callspec.id.split("-"):
            item.add_marker(pytest.mark.slow)
