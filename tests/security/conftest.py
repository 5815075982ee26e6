"""The real gateway, as a process, with a sink behind it and one listener for each kind that the dialogues need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from gateway.testing.sink import Sink
from tests.certificates import authority
from tests.integration.gateway_process import GatewayProcess
from tests.integration.ports import PortReservation
from tests.security.dialogue import DIALOGUES
from tests.security.people import fill

_LISTENERS = {
    "inbound": 'role = "inbound"',
    "filter": 'role = "filter"\ntrusted_peers = ["127.0.0.1/32"]',
    "proxy": 'role = "proxy"\ntrusted_peers = ["127.0.0.1/32"]',
    "lmtp": 'protocol = "lmtp"',
    "submission": 'role = "submission"',
}

MANY_CONNECTIONS = ("max_connections_per_client = 1000", "greeting_delay_ms = 0")


@dataclass
class Playground:
    """A running gateway: the sink that it relays to, and its listeners by what they were made for."""

    sink: Sink
    process: GatewayProcess
    addresses: dict[tuple[str, ...], tuple[str, int]]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def playground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    ports = PortReservation()
    needs = sorted({dialogue.needs for dialogue in DIALOGUES} | {("inbound",), ("inbound", *MANY_CONNECTIONS)})
    addresses = {need: ("127.0.0.1", ports.take()) for need in needs}
    directory = tmp_path_factory.mktemp("gateway")
    authority().write(directory)
    await fill(directory / "var" / "stellwerk.db")
    async with Sink() as sink:
        process = GatewayProcess(directory, _config(sink.address, addresses.items()))
        try:
            await process.start()
            yield Playground(sink, process, addresses)
        finally:
            await process.stop()
            ports.release()


def _config(next_hop: str, listeners: Iterable[tuple[tuple[str, ...], tuple[str, int]]]) -> str:
    text = f"""\
plugins = []

[server]
hostname = "gw.example.test"

[next_hop.sink]
kind = "smtp"
address = "{next_hop}"

[routing]
hosted = "sink"

[hosted."example.test"]
mailboxes = ["anna", "bo"]

[hosted."gw.example.test"]
mailboxes = ["postmaster"]

[hosted."open.test"]
mailboxes = ["*"]
"""
    for number, ((kind, *settings), (host, port)) in enumerate(listeners):
        lines = [f'name = "listener-{number}"', f'address = "{host}:{port}"', _LISTENERS[kind], *settings]
        has_tls = any(setting.startswith("tls = ") for setting in settings)
        if kind == "submission" and not has_tls:
            lines.append('tls = "starttls"')
        if has_tls or kind == "submission":
            lines += ['tls_certificate = "gw.pem"', 'tls_key = "gw.key"']
        text += "\n[[listener]]\n" + "\n".join(lines) + "\n"
    return text
