"""The whole gateway against networks that loop, crawl and break."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from gateway.testing.sink import Sink
from tests.faults.proxy import Proxy
from tests.integration.gateway_process import StartGateway, gateway_process
from tests.integration.ports import PortReservation
from tests.integration.smtp_client import Client, NoReplyError

__all__ = ["gateway_process"]

CONFIG = """
plugins = []

[server]
hostname = "gw.example.test"

[[listener]]
name = "mx"
address = "127.0.0.1:{port}"
greeting_delay_ms = 0
max_connections_per_client = 200

[next_hop.onward]
kind = "smtp"
address = "{onward}"
connections = 5

[routing]
hosted = "onward"

[hosted."example.test"]
mailboxes = ["*"]

[log]
level = "warning"
"""


@pytest.mark.slow
async def test_n11_a_next_hop_that_leads_back_to_us_is_a_loop(gateway_process: StartGateway, tmp_path: Path) -> None:
    """The stamp refuses the third pass: after two hops, not after fifty."""
    ports = PortReservation()
    port = ports.take()
    async with Proxy(f"127.0.0.1:{port}") as back:
        await gateway_process(CONFIG.format(port=port, onward=back.address))
        async with Client.connect(port) as client:
            reply = await client.send("s@out.test", ["anna@example.test"], b"Message-ID: <1@out.test>\r\n\r\nround\r\n")
        assert reply.startswith("554 5.4.6"), reply
        assert back.connections == 2
    ports.release()


@pytest.mark.slow
async def test_n12_a_network_of_64_kbit_with_500_ms_and_30_percent_loss_loses_nothing(
    gateway_process: StartGateway,
) -> None:
    """100 sessions over 40 connections to the next hop: delivered or 451, and never stuck.

    The row's numbers: 64 kbit/s for all connections together, 250 ms each way, 30 % of all pieces lost. What differs:
    the loss is not on the wire, which needs a device of the system's own (netem), but what TCP makes of it, a piece
    that comes 1 s later, 3 s, 7 s ...; where TCP would at last give up, here every tenth connection breaks. A piece is
    a read of at most 1400 octets, and a connection has one under way each way at a time. The messages are small, so
    that the test ends within a minute or so.
    """
    ports = PortReservation()
    port = ports.take()
    line = Proxy(piece_bytes=1400, bytes_per_second=8_000, delay_seconds=0.25, loss_rate=0.3, break_rate=0.1)
    async with Sink() as sink, line as network:
        network.target = sink.address
        await gateway_process(
            CONFIG.replace("connections = 5", "connections = 40").format(port=port, onward=network.address)
        )
        names = [f"box{number}" for number in range(100)]
        tries: Counter[str] = Counter()
        await asyncio.gather(*(_deliver(port, name, tries) for name in names))
        copies = Counter(message.to[0].partition("@")[0] for message in sink.messages)
        assert set(copies) == set(names)
        assert network.broken, "the network was to break connections"
        assert network.lost > 100, "the network was to lose pieces"
        assert all(copies[name] <= tries[name] for name in names)
        for message in sink.messages:
            assert message.data.endswith(_content(message.to[0].partition("@")[0]))
    ports.release()


async def _deliver(port: int, name: str, tries: Counter[str]) -> None:
    """Try until it is accepted, as a mail server does; anything but 250 and 4xx is a fault made the sender's."""
    while True:
        tries[name] += 1
        assert tries[name] < 50, f"{name} is not delivered after {tries[name]} tries"
        try:
            async with Client.connect(port) as client:
                reply = await client.send("s@out.test", [f"{name}@example.test"], _content(name))
        except NoReplyError:
            continue
        if reply.startswith("250"):
            return
        assert reply.startswith("451"), reply


def _content(name: str) -> bytes:
    return f"Subject: {name}\r\n\r\n{'x' * 70}\r\n".encode() + b"line\r\n" * 20
