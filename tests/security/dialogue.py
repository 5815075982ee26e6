"""Reads dialogues and plays them against a running gateway. README.md beside this file describes their format."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.testing.sink import KEYWORDS, Answer, Sink
from tests.certificates import authority
from tests.core.smtp.client import Client, eventually
from tests.core.smtp.tls_client import TlsClient

LISTENERS = ("inbound", "filter", "proxy", "lmtp", "submission")
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"(?: \* (\d+))?')
_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


class DialogueError(AssertionError):
    """The dialogue is malformed, or the gateway did not keep to it. Names file and line."""


@dataclass
class Expected:
    """One message that the sink must hold."""

    recipients: str
    endings: list[bytes] = field(default_factory=list)
    present: list[bytes] = field(default_factory=list)
    absent: list[bytes] = field(default_factory=list)


@dataclass
class Dialogue:
    """One file: which listener it wants, what happens, and what the sink holds at the end."""

    path: Path
    listener: str = "inbound"
    settings: list[str] = field(default_factory=list)
    sink_lacks: list[str] = field(default_factory=list)
    steps: list[tuple[int, str]] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    logged: list[tuple[str, str]] = field(default_factory=list)
    """("has" or "lacks", text), in the order of the file."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Dialogues that need the same can share a listener."""
        return (self.listener, *self.settings)


def read_dialogue(path: Path) -> Dialogue:
    """Parse a file. Raises `DialogueError` at a line that is not understood."""
    dialogue = Dialogue(path)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if found := re.fullmatch(rf"listener: ({'|'.join(LISTENERS)})", line):
            dialogue.listener = found[1]
        elif found := re.fullmatch(r"setting: (\w+ = .+)", line):
            dialogue.settings.append(found[1])
        elif found := re.fullmatch(r"sink lacks: (.+)", line):
            dialogue.sink_lacks = found[1].split()
        elif found := re.fullmatch(r"sink <- (.+)", line):
            dialogue.expected.append(Expected(found[1]))
        elif dialogue.expected and (found := re.fullmatch(r"sink <~ (.+)", line)):
            dialogue.expected[-1].endings.append(raw_bytes(found[1]))
        elif dialogue.expected and (found := re.fullmatch(r"sink lacks (.+)", line)):
            dialogue.expected[-1].absent.append(raw_bytes(found[1]))
        elif dialogue.expected and (found := re.fullmatch(r"sink has (.+)", line)):
            dialogue.expected[-1].present.append(raw_bytes(found[1]))
        elif found := re.fullmatch(r"log (has|lacks) (.+)", line):
            dialogue.logged.append((found[1], raw_bytes(found[2]).decode()))
        elif any(pattern.fullmatch(line) for pattern in _STEPS):
            dialogue.steps.append((number, line))
        else:
            raise DialogueError(f"{path.name}:{number}: not understood: {line}")
    return dialogue


def raw_bytes(text: str) -> bytes:
    r"""`"NOOP\r\n" * 3 "QUIT\r\n"`: Python-escaped pieces, each once or several times; {n} counts the times."""
    return b"".join(
        _repeated(ast.literal_eval(f'b"{piece}"'), int(times or 1)) for piece, times in _PIECE.findall(text)
    )


def _repeated(piece: bytes, times: int) -> bytes:
    if b"{n}" not in piece:
        return piece * times
    return b"".join(piece.replace(b"{n}", str(number).encode()) for number in range(1, times + 1))


class Stage:
    """Where a dialogue is played: a listener, the next hop behind it, and the client's connections by number."""

    def __init__(self, address: tuple[str, int], sink: Sink, log: Callable[[], str]) -> None:
        self.address = address
        self.sink = sink
        self._log = log
        self._clients: dict[str, Client] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._last_reply = ""
        self._goes_on = asyncio.Event()

    async def play(self, dialogue: Dialogue) -> None:
        """Raises `DialogueError` at the first line that the gateway does not keep to."""
        before, logged_before = len(self.sink.messages), len(self._log())
        keywords = tuple(keyword for keyword in KEYWORDS if keyword not in dialogue.sink_lacks)
        if keywords != self.sink.keywords:
            self.sink.keywords = keywords
            self.sink.drop_connections()
        try:
            for number, line in dialogue.steps:
                try:
                    await self._step(line)
                except (AssertionError, ConnectionError, TimeoutError) as error:
                    reason = f"{type(error).__name__} {error}"
                    raise DialogueError(f"{dialogue.path.name}:{number}: {line}\n  {reason}") from error
        finally:
            self._goes_on.set()
            for sending in self._sending.values():
                sending.cancel()
            for client in self._clients.values():
                client.close()
        try:
            await self._check(dialogue, before)
            for how, text in dialogue.logged:
                await self._check_log(how, text, logged_before)
        except (AssertionError, ConnectionError, TimeoutError) as error:
            raise DialogueError(f"{dialogue.path.name}: afterwards: {type(error).__name__} {error}") from error

    async def _step(self, line: str) -> None:
        for pattern, act in _STEPS.items():
            if found := pattern.fullmatch(line):
                await act(self, *(group or "" for group in found.groups()))

    async def _check(self, dialogue: Dialogue, before: int) -> None:
        expected = dialogue.expected
        async with await Client.connect(self.address) as client:
            if "proxy_protocol = true" in dialogue.settings:
                await client.send(b"PROXY UNKNOWN\r\n")
            assert (await client.reply()).startswith("220 "), "a fresh connection is not greeted"
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: len(self.sink.messages) >= before + len(expected))
        held = self.sink.messages[before:]
        assert len(held) == len(expected), f"the sink holds mail for {[message.to for message in held]}"
        for message, wanted in zip(held, expected, strict=True):
            assert wanted.recipients in (" ".join(message.to), f"{len(message.to)} recipients"), message.to
            assert not _STRAY.search(message.data), f"strays in {message.data!r}"
            assert all(message.data.endswith(ending) for ending in wanted.endings), message.data
            assert all(present in message.data for present in wanted.present), message.data
            assert not any(absent in message.data for absent in wanted.absent), message.data

    async def _check_log(self, how: str, text: str, before: int) -> None:
        if how == "has":
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: text in self._log()[before:])
        logged = self._log()[before:]
        assert (text in logged) == (how == "has"), f"the gateway logged: {logged}"

    # What the lines do

    async def _connect(self, name: str, source: str) -> None:
        await self._sent(name)
        if name in self._clients:
            self._clients[name].close()
        self._clients[name] = await Client.connect(self.address, source or "127.0.0.1")

    async def _client(self, name: str) -> Client:
        if name not in self._clients:
            await self._connect(name, "")
        return self._clients[name]

    async def _sent(self, name: str) -> None:
        if name in self._sending:
            await self._sending.pop(name)

    async def _send(self, name: str, raw: bytes) -> None:
        await self._sent(name)
        # In the background: a flood may be answered, and its connection closed, before it is through.
        self._sending[name] = asyncio.create_task(_send_what_is_taken(await self._client(name), raw))

    async def _send_line(self, name: str, text: str) -> None:
        await self._send(name, text.encode() + b"\r\n")

    async def _send_raw(self, name: str, text: str) -> None:
        await self._send(name, raw_bytes(text))

    async def _end(self, name: str, how: str) -> None:
        await self._sent(name)
        client = await self._client(name)
        {"half-close": client.half_close, "reset": client.reset, "close": client.close}[how]()

    async def _tls(self, name: str) -> None:
        await self._sent(name)
        self._clients[name] = await TlsClient.over(await self._client(name), authority().client())

    async def _expect(self, name: str, classes: str, times: str) -> None:
        pattern = "|".join(re.escape(each).replace("x", r"\d") for each in classes.split("|"))
        for _ in range(int(times or 1)):
            self._last_reply = await (await self._client(name)).reply()
            last_line = self._last_reply.rpartition("\n")[2]
            assert re.match(rf"(?:{pattern})(?!\S)", last_line), f"the server said: {last_line}"

    async def _expect_text(self, how: str, text: str) -> None:
        assert (raw_bytes(text).decode() in self._last_reply) == (how == "has"), f"the server said: {self._last_reply}"

    async def _expect_close(self, name: str) -> None:
        assert await (await self._client(name)).is_closed(), "the server said something"

    async def _expect_silence(self, name: str, seconds: str) -> None:
        await self._sent(name)
        with contextlib.suppress(TimeoutError):
            said = await asyncio.wait_for((await self._client(name)).read(), float(seconds))
            raise AssertionError(f"the server said: {said!r}")

    async def _wait(self, seconds: str) -> None:
        await asyncio.sleep(float(seconds))

    async def _sink(self, what: str) -> None:
        if what == "holds":
            self.sink.answer("DOT", Answer("250 2.0.0 ok", after=self._goes_on))
        else:
            self._goes_on.set()


async def _send_what_is_taken(client: Client, raw: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # whether the server was to close is for the next line to say
        await client.send(raw)


_STEPS: dict[re.Pattern[str], Callable[..., Awaitable[None]]] = {
    re.compile(r"c(\d*) -> ?(.*)"): Stage._send_line,
    re.compile(r'c(\d*) ~> ((?:"(?:[^"\\]|\\.)*"(?: \* \d+)? ?)+)'): Stage._send_raw,
    re.compile(r"c(\d*) connect(?: from (\S+))?"): Stage._connect,
    re.compile(r"c(\d*) (half-close|reset|close)"): Stage._end,
    re.compile(r"c(\d*) tls"): Stage._tls,
    re.compile(r"s(\d*) <- ([0-9x. |]+?)(?: \* (\d+))?"): Stage._expect,
    re.compile(r's (has|lacks) (".*")'): Stage._expect_text,
    re.compile(r"s(\d*) <~ close"): Stage._expect_close,
    re.compile(r"s(\d*) <~ silence ([\d.]+)"): Stage._expect_silence,
    re.compile(r"wait ([\d.]+)"): Stage._wait,
    re.compile(r"sink (holds|goes on)"): Stage._sink,
}

OWN_FOLDER = Path(__file__).parent / "dialogues"
DIALOGUES = [
    read_dialogue(path) for path in sorted(Path(os.environ.get("STELLWERK_DIALOGUES", OWN_FOLDER)).glob("*.txt"))
]
