"""The socketmap on a real socket: one connection, many questions, and everything that can be wrong with them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.postfix_maps import server as module
from gateway.postfix_maps.answers import MapName
from gateway.postfix_maps.netstring import netstring, read_netstring
from gateway.postfix_maps.server import MAX_REQUEST_BYTES, SocketmapServer
from tests.integration.waiting import until


class Directory:
    """Answers as a test wants: anna is there, the rest is not; or nothing is known."""

    def __init__(self) -> None:
        self.fails: BaseException | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked: list[tuple[str, str]] = []

    async def answer(self, name: MapName, key: str) -> str | None:
        self.asked.append((name, key))
        await self.may_answer.wait()
        if self.fails is not None:
            raise self.fails
        return "here" if key == "anna@acme.test" else None


class Postfix:
    """One connection, as Postfix keeps it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, question: str) -> str:
        self.send(netstring(question.encode()))
        return await self.reply()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> str:
        found = await read_netstring(self.reader, 1000)
        return "closed" if found is None else found.decode()


Bind = Callable[[], socket.socket]


@pytest.fixture(params=["tcp", "unix"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> socket.socket:
    if request.param == "unix":
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(tmp_path / "s"))
    else:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
    bound.listen()
    return bound


@asynccontextmanager
async def connected(sock: socket.socket) -> AsyncIterator[Postfix]:
    client = socket.socket(sock.family)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, sock.getsockname())
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        yield Postfix(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def directory() -> Directory:
    return Directory()


@pytest.fixture
async def server(directory: Directory, listening: socket.socket) -> AsyncIterator[SocketmapServer]:
    found = SocketmapServer(directory, listening)
    found.start()
    yield found
    await found.stop()
    listening.close()


async def test_one_connection_asks_for_many(server: SocketmapServer, listening: socket.socket) -> None:
    async with connected(listening) as postfix:
        assert await postfix.ask("recipients anna@acme.test") == "OK here"
        assert await postfix.ask("recipients nobody@acme.test") == "NOTFOUND "
        postfix.send(netstring(b"domains a") + netstring(b"recipients anna@acme.test") + netstring(b"sender-logins b"))
        assert [await postfix.reply() for _ in range(3)] == ["NOTFOUND ", "OK here", "NOTFOUND "]


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("aliases anna@acme.test", "PERM there is no map 'aliases'"),
        ("recipients", "PERM there is no map 'recipients'; expected"),
        ("", "PERM there is no map ''"),
        (" anna@acme.test", "PERM there is no map ''"),
        ("recipients ", "NOTFOUND "),
        ("recipients anna@acme.test ", "NOTFOUND "),
    ],
)
async def test_questions_that_are_none(
    server: SocketmapServer, listening: socket.socket, question: str, reply: str
) -> None:
    async with connected(listening) as postfix:
        assert (await postfix.ask(question)).startswith(reply)
        assert await postfix.ask("recipients anna@acme.test") == "OK here"


async def test_a_key_that_is_not_text_is_not_found(server: SocketmapServer, listening: socket.socket) -> None:
    async with connected(listening) as postfix:
        postfix.send(netstring(b"recipients \xff@acme.test"))
        assert await postfix.reply() == "NOTFOUND "


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n" * 9, b"5:hellox", b"%d:" % (MAX_REQUEST_BYTES + 1), b"x" * (2 * MAX_REQUEST_BYTES)],
    ids=["HTTP", "no comma", "too long", "no length"],
)
async def test_what_is_no_netstring_ends_the_connection(
    server: SocketmapServer, listening: socket.socket, directory: Directory, sent: bytes
) -> None:
    async with connected(listening) as postfix:
        postfix.send(sent)
        assert await postfix.reader.read() == b""
    assert directory.asked == []
    async with connected(listening) as postfix:
        assert await postfix.ask("recipients anna@acme.test") == "OK here"


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (StoreUnavailable("the store is not available: disk full"), "TEMP the store is not available: disk full"),
        (ZeroDivisionError("a bug"), "TEMP an error within the gateway"),
    ],
    ids=["store", "bug"],
)
async def test_trouble_is_temporary_and_the_connection_goes_on(
    server: SocketmapServer, listening: socket.socket, directory: Directory, error: BaseException, reply: str
) -> None:
    directory.fails = error
    async with connected(listening) as postfix:
        assert (await postfix.ask("recipients anna@acme.test")).startswith(reply)
        directory.fails = None
        assert await postfix.ask("recipients anna@acme.test") == "OK here"


async def test_a_directory_that_hangs_is_a_timeout(
    server: SocketmapServer, listening: socket.socket, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    directory.may_answer.clear()
    async with connected(listening) as postfix:
        assert await postfix.ask("recipients anna@acme.test") == "TIMEOUT the directory answers too slowly"


async def test_a_silent_connection_is_closed(
    server: SocketmapServer, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    async with connected(listening) as postfix:
        assert await postfix.reply() == "closed"


async def test_more_connections_than_there_is_room_for_are_closed(
    server: SocketmapServer, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
    async with connected(listening) as first:
        assert await first.ask("recipients anna@acme.test") == "OK here"
        async with connected(listening) as second:
            assert await second.reader.read() == b""
        assert await first.ask("recipients anna@acme.test") == "OK here"


async def test_at_a_stop_who_waits_is_closed_and_who_has_asked_is_answered(
    directory: Directory, listening: socket.socket
) -> None:
    """The next generation accepts on the same socket meanwhile."""
    old, new = SocketmapServer(directory, listening), SocketmapServer(directory, listening)
    old.start()
    async with connected(listening) as idle, connected(listening) as busy:
        assert await idle.ask("recipients anna@acme.test") == "OK here"
        assert await busy.ask("recipients anna@acme.test") == "OK here"
        directory.may_answer.clear()
        busy.send(netstring(b"recipients anna@acme.test"))
        assert await until(lambda: len(directory.asked) == 3, "the question has come")
        stopping = asyncio.create_task(old.stop())
        assert await idle.reply() == "closed"
        new.start()
        directory.may_answer.set()
        assert (await busy.reply(), await busy.reply()) == ("OK here", "closed")
        await stopping
        async with connected(listening) as again:
            assert await again.ask("recipients anna@acme.test") == "OK here"
    await new.stop()
    listening.close()
