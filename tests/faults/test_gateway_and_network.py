"""The whole gateway against networks that loop, crawl and break."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

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


async def test_n12_a_slow_network_that_breaks_off_loses_nothing(gateway_process: StartGateway) -> None:
    """100 sessions over 5 connections, a third of which die on the way: delivered or 451, and never stuck."""
    ports = PortReservation()
    port = ports.take()
    async with Sink() as sink, Proxy(sink.address, piece_bytes=512, pause_seconds=0.01, break_rate=0.33) as network:
        await gateway_process(CONFIG.format(port=port, onward=network.address))
        names = [f"box{number}" for number in range(100)]
        tries: Counter[str] = Counter()
        await asyncio.gather(*(_deliver(port, name, tries) for name in names))
        copies = Counter(message.to[0].partition("@")[0] for message in sink.messages)
        assert set(copies) == set(names)
        assert network.broken, "the network was to break connections"
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
    return f"Subject: {name}\r\n\r\n{'x' * 70}\r\n".encode() + b"line\r\n" * 200
