"""`stellwerk send`: speaks SMTP or LMTP to the running gateway as any client would, then shows the message's trace."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from gateway.cli.message_file import wire_bytes
from gateway.cli.options import config_option, read_config
from gateway.cli.output import printable
from gateway.errors import StartupError, StellwerkError

if TYPE_CHECKING:
    from gateway.config.listener import ListenerConfig
    from gateway.config.models import Config

_TIMEOUT_SECONDS = 600.0
_TRACE_TRIES = 40
_TRACE_PAUSE_SECONDS = 0.25
_ID = re.compile(r"\[([0-9a-z]+)\]$")


@click.command()
@config_option
@click.option("--listener", "listener_name", help="Listener to send to, by name; the first one by default.")
@click.option("--from", "sender", default="", help="Envelope sender; the null sender by default.")
@click.option("--to", "recipients", multiple=True, required=True, help="Envelope recipient; may be given again.")
@click.argument("file", type=click.File("rb"))
def send(config_path: Path, listener_name: str | None, sender: str, recipients: Sequence[str], file: BinaryIO) -> None:
    """Send the message in FILE ("-": standard input) through the running gateway and show its trace.

    Exit status 0 when it was accepted for every recipient, 1 when it was not.
    """
    for address in (sender, *recipients):
        if not address.isprintable():
            raise click.BadParameter(
                f"{address!r} holds a control character; an address is one line", param_hint="--to"
            )
    config = read_config(config_path)
    listener = _listener(config, listener_name)
    content = wire_bytes(file.read())
    with Dialogue.open(listener, _address(config, listener), config_path) as dialogue:
        accepted, last = _transaction(dialogue, listener, sender.strip("<>"), recipients, content)
    if found := _ID.search(last.text):
        _show_trace(config, found[1])
    sys.exit(0 if accepted else 1)


class Reply(NamedTuple):
    """A reply of one or more lines; `text` is that of the last."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.lines[-1]

    @property
    def is_good(self) -> bool:
        return self.code < 400


class Dialogue:
    """One connection; every line of it is printed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")

    @classmethod
    def open(cls, listener: ListenerConfig, address: str, config_path: Path) -> Dialogue:
        """Connect and read nothing yet. Raises `StartupError` when nobody answers."""
        from gateway.config.addresses import parse_socket_address

        parsed = parse_socket_address(address)
        try:
            if isinstance(parsed, Path):
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.settimeout(_TIMEOUT_SECONDS)
                connection.connect(str(parsed))
            else:
                connection = socket.create_connection(parsed, _TIMEOUT_SECONDS)
        except OSError as error:
            raise StartupError(
                f'listener "{listener.name}" does not answer at {address} ({error.strerror}); '
                f"is the gateway running? Start it with: stellwerk serve --config {config_path}"
            ) from None
        dialogue = cls(connection)
        if listener.proxy_protocol:
            connection.sendall(b"PROXY UNKNOWN\r\n")  # from here, as a balancer's own check of its server's health
        if listener.tls == "implicit":
            dialogue.encrypt()
        return dialogue

    def encrypt(self) -> None:
        """Begin TLS. Who answers at the gateway's own address needs no proof. Raises `StellwerkError`."""
        from gateway.doctor.certificates import careless_context

        self._lines.close()
        try:
            self._connection = careless_context().wrap_socket(self._connection)
        except OSError as error:
            self._connection.close()
            raise StellwerkError(f"the gateway and this command found no common TLS: {error}") from None
        self._lines = self._connection.makefile("rb")

    def command(self, line: str) -> Reply:
        """Send a command and read its reply."""
        click.echo(f"> {printable(line)}")
        return self.send(line.encode() + b"\r\n")

    def send(self, data: bytes) -> Reply:
        """Send bytes as they are and read one reply."""
        # When the gateway closed the connection it may have said why: that is read all the same.
        with contextlib.suppress(OSError):
            self._connection.sendall(data)
        return self.reply()

    def reply(self) -> Reply:
        """Read one reply. Raises `StellwerkError` when the connection ends before it."""
        lines: list[str] = []
        while True:
            try:
                line = self._lines.readline().decode("utf-8", "replace").rstrip("\r\n")
            except OSError as error:
                raise StellwerkError(f"the connection broke while a reply was due ({error})") from None
            if not line[:3].isdigit():
                raise StellwerkError(f"the gateway closed the connection while a reply was due; it said {line!r}")
            click.echo(f"< {printable(line)}")
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), tuple(lines))

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._connection.close()


def _transaction(
    dialogue: Dialogue, listener: ListenerConfig, sender: str, recipients: Sequence[str], content: bytes
) -> tuple[bool, Reply]:
    """Hand the message over. Whether everybody's copy was accepted, and the last reply that counts."""
    greeting = dialogue.reply()
    if not greeting.is_good:
        return False, greeting
    greeting_verb = "LHLO" if listener.protocol == "lmtp" else "EHLO"
    hello = dialogue.command(f"{greeting_verb} localhost")
    if hello.is_good and listener.tls == "required" and dialogue.command("STARTTLS").is_good:
        dialogue.encrypt()
        hello = dialogue.command(f"{greeting_verb} localhost")
    if not hello.is_good:
        return False, hello
    mail = dialogue.command(f"MAIL FROM:<{sender}>{_parameters(hello, [sender, *recipients], content)}")
    if not mail.is_good:
        return False, _quit(dialogue, mail)
    answers = [dialogue.command(f"RCPT TO:<{recipient.strip('<>')}>") for recipient in recipients]
    taken = [answer for answer in answers if answer.is_good]
    if not taken:
        return False, _quit(dialogue, answers[-1])
    data = dialogue.command("DATA")
    if data.code != 354:
        return False, _quit(dialogue, data)
    click.echo(f"> ({len(content)} octets)")
    final = [dialogue.send(_stuffed(content) + b".\r\n")]
    if listener.protocol == "lmtp":
        final += [dialogue.reply() for _ in taken[1:]]
    accepted = len(taken) == len(answers) and all(reply.is_good for reply in final)
    return accepted, _quit(dialogue, final[-1])


def _quit(dialogue: Dialogue, counts: Reply) -> Reply:
    """End the session politely: the QUIT confirms to the gateway that its last reply was seen."""
    dialogue.command("QUIT")
    return counts


def _parameters(hello: Reply, addresses: Sequence[str], content: bytes) -> str:
    offered = {line.split(" ", 1)[0].upper() for line in hello.lines[1:]}
    parameters = ""
    if "SIZE" in offered:
        parameters += f" SIZE={len(content)}"
    if "8BITMIME" in offered and not content.isascii():
        parameters += " BODY=8BITMIME"
    if "SMTPUTF8" in offered and not all(address.isascii() for address in addresses):
        parameters += " SMTPUTF8"
    return parameters


def _stuffed(content: bytes) -> bytes:
    """RFC 5321 4.5.2: a dot at the beginning of a line is doubled."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def _listener(config: Config, name: str | None) -> ListenerConfig:
    if name is None:
        return config.listeners[0]
    found = config.listener(name)
    if found is None:
        there = ", ".join(listener.name for listener in config.listeners)
        raise click.UsageError(f"there is no listener {name!r}; there are: {there}")
    return found


def _address(config: Config, listener: ListenerConfig) -> str:
    """Where it really listens: a port 0 of the configuration has become another one."""
    from gateway.supervisor.state import running

    state = running(config.server.state_dir)
    return str(state["listeners"].get(listener.name, listener.address)) if state else listener.address


def _show_trace(config: Config, transaction_id: str) -> None:
    from gateway.cli.trace import show

    story = _story(config, transaction_id)
    if story is None:
        click.echo(f"the trace is not there yet; try: stellwerk trace {transaction_id}", err=True)
        return
    click.echo()
    show(story)
    for step in story["steps"]:
        if file := _maildir_file(config, step):
            click.echo(f"\nfile {printable(file)}")


def _maildir_file(config: Config, step: dict[str, Any]) -> Path | None:
    """The file that a step made: its trace names it from the folder that all mailboxes of the next hop share."""
    hop = config.next_hops.get(step["via"])
    if hop is None or hop.kind != "maildir" or not step["where"]:
        return None
    fixed = hop.path.partition("{")[0]
    file = Path(fixed.rpartition("/")[0] or ".") / step["where"]
    return file if file.is_file() else None


def _story(config: Config, transaction_id: str) -> dict[str, Any] | None:
    """The trace, which appears a moment after the reply."""
    from gateway.cli.trace import load_story

    for _ in range(_TRACE_TRIES):
        story = asyncio.run(load_story(config, transaction_id))
        if story is not None:
            return story
        time.sleep(_TRACE_PAUSE_SECONDS)
    return None
