"""What the fixtures hand to a test: callables that start a gateway, a process, a DNS server, and stop them later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.api import Plugin
from gateway.config import read
from gateway.testing.clock import Clock
from gateway.testing.configuration import config_text
from gateway.testing.dns_server import Behaviour, DnsServer, Record
from gateway.testing.loop_thread import LoopThread
from gateway.testing.process import ProcessGateway
from gateway.testing.running import RunningGateway
from gateway.testing.sink import Sink

Plugins = Iterable[str] | Mapping[str, type[Plugin[Any]]]
PluginSettings = Mapping[str, Mapping[str, Any]]


class StartGateway:
    """Call it to start a gateway inside the test's process."""

    def __init__(self, directory: Path, loop: LoopThread, sink: Sink, clock: Clock) -> None:
        self._directory = directory
        self._loop = loop
        self._sink = sink
        self._clock = clock
        self._running: list[RunningGateway] = []

    def __call__(
        self,
        plugins: Plugins = (),
        *,
        settings: PluginSettings | None = None,
        plugin_dir: Path | None = None,
        mailboxes: Iterable[str] = ("*",),
        dns: DnsServer | None = None,
        more: str = "",
    ) -> RunningGateway:
        """A gateway that takes mail for `mailboxes` of example.test and hands everything to the fixture `sink`.

        `plugins` is the chain: names of plugins that are installed or in `plugin_dir`, or a mapping of names to
        classes. `settings` has the keys of each [plugin.NAME], `more` is TOML for the end of the configuration.
        Raises `gateway.errors.ConfigError` with every problem.
        """
        directory = _new_folder(self._directory, "gateway")
        text = config_text(
            directory,
            plugins,
            next_hop=self._sink.address,
            settings=settings,
            plugin_dir=plugin_dir,
            mailboxes=mailboxes,
            nameservers=[dns.address] if dns is not None else [],
            more=more,
        )
        given = plugins if isinstance(plugins, Mapping) else {}
        gateway = RunningGateway(read(text, str(directory / "stellwerk.toml")), self._loop, self._clock, given)
        gateway.start()
        self._running.append(gateway)
        return gateway

    def stop(self) -> None:
        while self._running:
            self._running.pop().stop()


class StartProcess:
    """Call it to start `stellwerk serve` as a process of its own."""

    def __init__(self, directory: Path, sink: Sink) -> None:
        self._directory = directory
        self._sink = sink
        self._running: list[ProcessGateway] = []

    def __call__(
        self,
        plugins: Iterable[str] = (),
        *,
        settings: PluginSettings | None = None,
        plugin_dir: Path | None = None,
        mailboxes: Iterable[str] = ("*",),
        more: str = "",
        wrapper: Sequence[str] = (),
    ) -> ProcessGateway:
        """As `start_gateway`; plugins are names of what is installed or in `plugin_dir`."""
        directory = _new_folder(self._directory, "process")
        text = config_text(
            directory,
            plugins,
            next_hop=self._sink.address,
            settings=settings,
            plugin_dir=plugin_dir,
            mailboxes=mailboxes,
            more=more,
        )
        gateway = ProcessGateway(directory, text, wrapper)
        self._running.append(gateway)
        gateway.start()
        return gateway

    def stop(self) -> None:
        while self._running:
            self._running.pop().stop()


class StartDns:
    """Call it to start a DNS server: `start_dns([("sender.test", "MX", "10 mx.sender.test.", 300)])`."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self._running: list[DnsServer] = []

    def __call__(self, records: Iterable[Record] = (), behaviour: Mapping[str, Behaviour] | None = None) -> DnsServer:
        """Hand it to `start_gateway(dns=...)`. `gateway.testing.dns_behaviour` has the words of `behaviour`."""
        server = DnsServer(records, behaviour)
        self._loop.run(server.start())
        self._running.append(server)
        return server

    def stop(self) -> None:
        while self._running:
            self._loop.run(self._running.pop().stop())


def _new_folder(above: Path, what: str) -> Path:
    number = sum(path.name.startswith(what) for path in above.iterdir()) + 1
    folder = above / f"{what}-{number}"
    folder.mkdir()
    return folder
