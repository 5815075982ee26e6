"""A whole gateway inside the test's process, with real listeners on free ports, a real store and a real next hop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.api import Plugin
from gateway.app import Gateway
from gateway.certificates import own_context
from gateway.config import Config
from gateway.explain import Question, explain
from gateway.hooks.finding import Given
from gateway.mail.address import Address
from gateway.smtp.serving import ListenerServer, serve
from gateway.testing.clock import Clock
from gateway.testing.dialogue import transact, transaction_id
from gateway.testing.loop_thread import LoopThread
from gateway.testing.messages import RECIPIENT, SENDER
from gateway.testing.outcomes import Explained, Sent, Trace, explained, traced
from gateway.trace import find


class RunningGateway:
    """Takes mail on `address(listener)`. The fixture `start_gateway` makes and stops it.

    `explain` runs the chain without anything happening, `send` sends over a connection, `trace` tells what happened.
    """

    def __init__(self, config: Config, loop: LoopThread, clock: Clock, given: Given) -> None:
        self.config = config
        self.clock = clock
        self._loop = loop
        self._given = given
        self._gateway: Gateway
        self._servers: list[ListenerServer] = []
        self._sockets: dict[str, socket.socket] = {}

    def start(self) -> None:
        """Raises what `stellwerk serve` would print: `ConfigError` for plugins that do not load, `StartupError`."""
        self.config.spool.mkdir(parents=True, exist_ok=True)
        self._loop.run(self._start())

    def stop(self) -> None:
        """Everything that was taken is finished; the ports are closed."""
        self._loop.run(self._stop())

    def address(self, listener: str = "mx") -> str:
        """Where a listener listens, "host:port"."""
        host, port = self._sockets[listener].getsockname()
        return f"{host}:{port}"

    def plugin(self, name: str) -> Plugin[Any]:
        """The plugin's instance in this gateway. Raises `LookupError` for one that is not in the chain."""
        loaded = self._gateway.plugins.get(name)
        if loaded is None:
            raise LookupError(f"there is no plugin {name!r} in the chain {self.config.plugins}")
        return loaded.instance

    def send(
        self,
        content: bytes,
        to: str | Sequence[str] = RECIPIENT,
        *,
        sender: str = SENDER,
        listener: str = "mx",
        helo: str = "client.elsewhere.test",
    ) -> Sent:
        """Send a message over a new connection and say QUIT. An empty `sender` is `<>`."""
        listening = self.config.listener(listener)
        assert listening is not None
        recipients = [to] if isinstance(to, str) else list(to)
        reply, replies = transact(self.address(listener), listening.protocol, sender, recipients, content, helo)
        return Sent(reply, replies, transaction_id(reply), self.trace)

    def trace(self, transaction_id: str) -> Trace:
        """The story of a transaction. Raises `LookupError` when there is none."""
        return self._loop.run(self._trace(transaction_id))

    def explain(
        self,
        content: bytes,
        to: str | Sequence[str] = RECIPIENT,
        *,
        sender: str = SENDER,
        listener: str = "mx",
        client: str = "192.0.2.7",
        helo: str = "client.elsewhere.test",
    ) -> Explained:
        """What would happen to the message: the same chain in a gateway that can only look."""
        recipients = [to] if isinstance(to, str) else list(to)
        source = Address.parse(sender) if sender else None
        question = Question(source, recipients, content, listener, client, helo)
        return self._loop.run(self._explain(question))

    async def _start(self) -> None:
        self._gateway = Gateway(self.config, role="smtp", clock=self.clock, given=self._given)
        try:
            await self._gateway.start()
        except BaseException:
            await self._gateway.stop()
            raise
        config = self.config
        for listener in config.listeners:
            sock = self._sockets[listener.name] = socket.socket()
            sock.bind(("127.0.0.1", 0))
            limits, hostname = config.limits, config.server.hostname
            self._servers.append(
                await serve(
                    listener, limits, config.spool, hostname, sock, self._gateway.pipeline, own_context(listener)
                )
            )

    async def _stop(self) -> None:
        await asyncio.gather(*(server.drain(5) for server in self._servers))
        for sock in self._sockets.values():
            sock.close()
        await self._gateway.stop()

    async def _explain(self, question: Question) -> Explained:
        looking = Gateway(self.config, role="cli", clock=self.clock, given=self._given)
        try:
            return explained(await explain(looking, question))
        finally:
            await looking.stop()

    async def _trace(self, transaction_id: str) -> Trace:
        story = await self._story(transaction_id)
        if story is None:
            raise LookupError(f"there is no trace of {transaction_id!r}")
        return traced(story)

    async def _story(self, transaction_id: str) -> Mapping[str, Any] | None:
        """The end of a story is written when the client has been told; so it may take some turns."""
        for _ in range(200):
            await self._gateway.pipeline.settled()
            await self._gateway.store.write([])
            story = await find(self._gateway.store, transaction_id)
            if story is not None:
                return story
            await asyncio.sleep(0.02)
        return None
