"""`stellwerk doctor`: a right installation passes, each thing that is wrong is named with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import read
from gateway.doctor import Finding, examine
from gateway.testing.dns_server import DnsServer
from tests.core.cli.running import CONFIG, stellwerk
from tests.integration.gateway_process import GatewayProcess


async def findings(directory: Path, text: str = "") -> list[Finding]:
    """What doctor says in `directory`, where DNS works unless `text` says otherwise."""
    async with DnsServer([("example.test", "NS", "ns.example.test.", 300)]) as server:
        dns = "" if "[dns]" in text else f'[dns]\nnameservers = ["{server.address}"]\n'
        return await examine(read(CONFIG.format(directory=directory) + dns + text))


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def texts(found: Sequence[Finding], status: str, check: str) -> str:
    return "\n".join(one.text for one in found if (one.status, one.check) == (status, check))


async def test_a_running_gateway_is_right(tmp_path: Path) -> None:
    async with DnsServer([("example.test", "NS", "ns.example.test.", 300)]) as server:
        text = CONFIG.format(directory=tmp_path) + f'[dns]\nnameservers = ["{server.address}"]\n'
        gateway = GatewayProcess(tmp_path, text)
        await gateway.start()
        try:
            ran = await stellwerk(gateway.config, "doctor", "--json")
        finally:
            await gateway.stop()
    found = [Finding(**one) for one in json.loads(ran.output)]
    assert [one for one in found if one.status == "failed"] == []
    assert ran.status == 0
    assert 'listener "mx" at 127.0.0.1:' in texts(found, "ok", "listeners")
    assert "answers: 220" in texts(found, "ok", "listeners")
    assert "can be written" in texts(found, "ok", "store")
    assert "next hop mail answers" in texts(found, "ok", "next hops")
    assert texts(found, "ok", "dns")
    assert 'mail of our own goes to "mail", a Maildir' in texts(found, "warning", "next hops")


async def test_nothing_has_been_started_yet(tmp_path: Path) -> None:
    found = await findings(tmp_path)
    assert "state is missing" in texts(found, "warning", "state")
    assert "the store is empty" in texts(found, "warning", "store")
    assert "the gateway does not run" in texts(found, "warning", "listeners")


async def test_a_state_directory_that_is_open_to_others(tmp_path: Path) -> None:
    (tmp_path / "state/spool").mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "state/secret").write_text("00" * 32)
    (tmp_path / "state/secret").chmod(0o640)
    found = await findings(tmp_path)
    assert "run: chmod 700 state" in texts(found, "warning", "state")
    assert "state/secret can be read by others (mode 0640); run: chmod 600" in texts(found, "failed", "state")


async def test_a_missing_spool(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    assert "the spool state/spool is missing" in texts(await findings(tmp_path), "failed", "state")


async def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    future = 4_000_000_000
    (tmp_path / "state/node").write_text("")
    os.utime(tmp_path / "state/node", (future, future))
    assert "the clock was set back" in texts(await findings(tmp_path), "failed", "clock")


async def test_a_port_that_somebody_else_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        serving = asyncio.get_running_loop().create_task(_greet_once(other))
        found = await findings(tmp_path, f'[[listener]]\nname = "other"\naddress = "127.0.0.1:{port}"\n')
        await serving
    text = texts(found, "failed", "listeners")
    assert f'listener "other" at 127.0.0.1:{port} is taken by process {os.getpid()}' in text


async def _greet_once(listening: socket.socket) -> None:
    listening.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listening)
    with connection:
        await asyncio.get_running_loop().sock_sendall(connection, b"220 somebody else\r\n")


@asynccontextmanager
async def hop_of_size(size: str) -> AsyncIterator[int]:
    """A next hop that says hello and nothing else; its port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hop\r\n")
        while line := await reader.readline():
            writer.write(b"221 bye\r\n" if line.startswith(b"QUIT") else f"250-hop\r\n250 {size}\r\n".encode())
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [("SIZE 10240000", "next hop out takes 10240000 octets and we take 36700160"), ("SIZE 0", ""), ("HELP", "")],
)
async def test_a_next_hop_that_takes_less_than_we_do(tmp_path: Path, size: str, expected: str) -> None:
    async with hop_of_size(size) as port:
        found = await findings(tmp_path, f'[next_hop.out]\nkind = "smtp"\naddress = "127.0.0.1:{port}"\n')
    assert "next hop out answers" in texts(found, "ok", "next hops")
    assert texts(found, "failed", "next hops").startswith(expected)
    assert bool(texts(found, "failed", "next hops")) == bool(expected)


async def test_a_next_hop_and_a_resolver_that_are_down(tmp_path: Path) -> None:
    with socket.socket() as unused, socket.socket(type=socket.SOCK_DGRAM) as silent:
        unused.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        found = await findings(
            tmp_path,
            f'[next_hop.out]\nkind = "smtp"\naddress = "127.0.0.1:{unused.getsockname()[1]}"\n'
            f'[dns]\nnameservers = ["127.0.0.1:{silent.getsockname()[1]}"]\n',
        )
    assert texts(found, "failed", "next hops").startswith("next hop out: ")
    assert texts(found, "failed", "dns").startswith("DNS does not answer")


async def test_many_workers_on_sqlite(tmp_path: Path) -> None:
    text = CONFIG.format(directory=tmp_path).replace("[server]", "[server]\nworkers = 3")
    (tmp_path / "s.toml").write_text(text)
    found = await examine(read(text + '[dns]\nnameservers = ["127.0.0.1:1"]\n'))
    assert "3 workers share one SQLite file" in texts(found, "warning", "store")
    ran = await stellwerk(tmp_path / "s.toml", "doctor")
    assert "warning\tstore\t3 workers share one SQLite file" in ran.output


def test_an_unloadable_plugin_is_a_wrong_configuration(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text(CONFIG.format(directory=tmp_path).replace("plugins = []", 'plugins = ["nonsense"]'))
    ran = asyncio.run(stellwerk(config, "doctor"))
    assert ran.status == 2
    assert "nonsense" in ran.errors
    assert "Traceback" not in ran.errors
