"""Table G of the fault catalogue with the real processes: whatever a plugin does, senders keep what was not taken."""

from __future__ import annotations

import json
import os
import shutil
import smtplib
from pathlib import Path

import pytest

from gateway.logs import MAX_LINE_CHARACTERS, OneLineFormatter
from gateway.testing import ProcessGateway, Sent, Sink, StartGateway, StartProcess, message

GIBIBYTE = 1 << 30
HEAD = """\
import asyncio, os, signal, socket, time
from gateway.api import *
from gateway.api import Plugin, Tag, hookimpl
"""


def plugin(directory: Path, name: str, *hooks: str) -> Path:
    """A plugin whose class body is `hooks`; the folder to name as plugin_dir."""
    folder = directory / "plugins"
    folder.mkdir(exist_ok=True)
    body = "".join(f"    {line}\n" for hook in hooks for line in hook.splitlines())
    (folder / f"{name}.py").write_text(f"{HEAD}class Mine(Plugin):\n{body}")
    return folder


ALLOCATES = """\
@hookimpl
def message_received(self, message):
    if message.headers.get("subject") == "much":
        return Tag("x", len(bytearray(4 << 30)))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit of util-linux limits the worker's memory")
def test_g5_a_plugin_that_allocates_4_gb_under_a_limit(tmp_path: Path, start_process: StartProcess, sink: Sink) -> None:
    folder = plugin(tmp_path, "hungry", ALLOCATES)
    gateway = start_process(["hungry"], plugin_dir=folder, wrapper=("prlimit", f"--as={2 * GIBIBYTE}"))
    sent = gateway.send(message("much"))
    assert str(sent.reply).startswith("451 4.3.0 local processing failed")
    (failure,) = sent.trace.failures
    assert (failure.plugin, failure.hook) == ("hungry", "message_received")
    assert failure.error.startswith("MemoryError")
    assert failure.error.endswith("(hungry.py:8)")
    assert gateway.send(message("little")).reply.code == 250
    assert len(sink.messages) == 1
    assert "restarting it" not in gateway.output, "the worker lives"


KILLED = """\
@hookimpl
def message_received(self, message):
    if message.headers.get("subject") == "much":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_g5_a_worker_that_the_kernel_kills_is_replaced_behind_the_same_port(
    tmp_path: Path, start_process: StartProcess, sink: Sink
) -> None:
    gateway = start_process(["hungry"], plugin_dir=plugin(tmp_path, "hungry", KILLED))
    address = gateway.address()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        gateway.send(message("much"))
    gateway.wait_until(lambda: "restarting it" in gateway.output, "the supervisor restarts the worker")
    assert "killed by SIGKILL" in gateway.output
    assert gateway.address() == address
    assert gateway.send(message("little")).reply.code == 250
    assert len(sink.messages) == 1, "what was not acknowledged stays with its sender"


SLEEPS = """\
@hookimpl
async def message_received(self, message):
    if message.headers.get("subject") == "sleep":
        time.sleep(3)
"""
ASKS = """\
@hookimpl
async def smtp_mail(self, sender):
    if sender.local == "ask":
        await asyncio.create_task(self.later())
async def later(self):
    await asyncio.sleep(0)
    self.get()
def get(self):
    listening = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listening.getsockname()) as connection:
        connection.settimeout(2)
        try:
            connection.recv(1)
        except TimeoutError:
            pass
    listening.close()
"""


@pytest.mark.slow
def test_g6_what_stops_the_loop_is_named_in_the_log(tmp_path: Path, start_process: StartProcess) -> None:
    plugin(tmp_path, "asks", ASKS)
    gateway = start_process(["sleeps", "asks"], plugin_dir=plugin(tmp_path, "sleeps", SLEEPS))
    assert gateway.send(message("sleep")).reply.code == 250, "it was slow, not wrong"
    gateway.wait_until(lambda: "the event loop goes on" in gateway.output, "the end of the alarm")
    (alarm,) = [line for line in gateway.output.splitlines() if "has stood still for" in line]
    assert "in plugin sleeps, hook message_received: all mail of this process waits" in alarm
    assert "message_received (" in alarm
    assert "sleeps.py:8)" in alarm
    assert gateway.send(message(), sender="ask@elsewhere.test").reply.code == 250
    gateway.wait_until(lambda: gateway.output.count("the event loop goes on") == 2, "the end of the second alarm")
    alarm = [line for line in gateway.output.splitlines() if "has stood still for" in line][-1]
    assert "asks.py:" in alarm, "a task of the plugin's own: its file says whose it is"


@pytest.mark.slow
def test_g6_beyond_the_watchdogs_limit_the_worker_is_ended(tmp_path: Path, start_process: StartProcess) -> None:
    folder = plugin(tmp_path, "sleeps", SLEEPS.replace("sleep(3)", "sleep(3600)"))
    gateway = start_process(["sleeps"], plugin_dir=folder, more="")
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("[server]", "[server]\nwatchdog_seconds = 2"))
    gateway.reload()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        gateway.send(message("sleep"))
    gateway.wait_until(lambda: "restarting it" in gateway.output, "the supervisor restarts the worker")
    (last,) = [line for line in gateway.output.splitlines() if "CRITICAL" in line]
    assert "stood still for 2 seconds in plugin sleeps, hook message_received; ending this process" in last
    assert gateway.send(message("hello")).reply.code == 250


CHATTY = """\
@hookimpl
def message_received(self, message):
    print("printed:", message.headers.get("subject"))
    self.services.log.warning("%s", b"".join(message.body.chunks()).decode())
"""


def test_g12_a_plugin_that_prints_and_logs_the_body(
    tmp_path: Path, start_gateway: StartGateway, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = start_gateway(["chatty"], plugin_dir=plugin(tmp_path, "chatty", CHATTY))
    forged = "x\n2027-01-15 08:00:00,000 ERROR stellwerk[1]: forged\n\x1b[31m" + "long " * 4000
    assert gateway.send(message(text=forged)).reply.code == 250
    (record,) = [record for record in caplog.records if record.name == "stellwerk.plugin.chatty"]
    line = OneLineFormatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith("... (cut)")
    assert len(line) == MAX_LINE_CHARACTERS + len("... (cut)")
    assert "WARNING stellwerk.plugin.chatty[" in line, "the log says who wrote it"
    assert "printed: hello" in capsys.readouterr().out


CHANGES = """\
@hookimpl
def message_received(self, message):
    os.chdir("/")
    os.umask(0)
    self.held = socket.socket()
    if os.fork() == 0:
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
def test_g12_a_plugin_that_changes_the_process_is_trusted_and_mail_goes_on(
    tmp_path: Path, start_process: StartProcess, sink: Sink
) -> None:
    gateway = start_process(["changes"], plugin_dir=plugin(tmp_path, "changes", CHANGES))
    for number in range(2):
        sent = gateway.send(message(f"number {number}", text="x" * 2_000_000))
        assert sent.reply.code == 250
        assert sent.trace.failures == ()
    assert len(sink.messages) == 2


FIRST = """\
def register(self, registry):
    registry.tag("set", "which generation")
@hookimpl
def message_received(self):
    return Tag("set", "old")
"""
SESSIONS = 50
WIDE = f"""
[[listener]]
name = "wide"
address = "127.0.0.1:0"
max_connections_per_client = {SESSIONS}
"""


BY_THE_OLD_SET = message("by the old set")


def sent_to_the_new_set(gateway: ProcessGateway) -> Sent:
    """A new connection may still reach the old generation in its last moment: that one says 421 and nothing else."""
    tries: list[Sent] = []

    def is_taken() -> bool:
        tries.append(gateway.send(message("by the new set")))
        return tries[-1].reply.code == 250

    gateway.wait_until(is_taken, "a connection to the new generation")
    assert {sent.reply.code for sent in tries[:-1]} <= {421}
    return tries[-1]


@pytest.mark.slow
def test_g13_a_reload_while_sessions_run_drops_none_and_takes_changed_code(
    tmp_path: Path, start_process: StartProcess, sink: Sink
) -> None:
    folder = plugin(tmp_path, "mine", FIRST)
    gateway = start_process(["mine"], plugin_dir=folder, more=WIDE)
    host, _, port = gateway.address("wide").rpartition(":")
    sessions = [smtplib.SMTP(host, int(port), "client.test", timeout=60) for _ in range(SESSIONS)]
    for number, client in enumerate(sessions):
        client.ehlo()
        client.mail(f"sender{number}@elsewhere.test")
        assert client.rcpt("anna@example.test")[0] == 250
        if number % 2:  # every other one is in the middle of its data
            assert client.docmd("DATA")[0] == 354
            client.send(BY_THE_OLD_SET[:50])
    size = (folder / "mine.py").stat().st_size
    plugin(tmp_path, "mine", FIRST.replace("old", "new"))
    os.utime(folder / "mine.py", (0, 0))
    assert (folder / "mine.py").stat().st_size == size, "neither size nor time tells that it changed"
    gateway.signal_reload()
    gateway.wait_until(lambda: "took over" in gateway.output, "the new generation")
    by_new_set = sent_to_the_new_set(gateway)
    by_old_set = set()
    for number, client in enumerate(sessions):
        if number % 2:
            client.send(BY_THE_OLD_SET[50:] + b".\r\n")
            code, text = client.getreply()
        else:
            code, text = client.data(BY_THE_OLD_SET)
        assert code == 250
        by_old_set.add(text.decode().rpartition("[")[2].rstrip("]"))
        client.quit()
    assert by_new_set.trace.tags == {"mine.set": "new"}
    gateway.wait_until(lambda: "generation 1 has gone" in gateway.output, "the end of the old generation")
    stories = json.loads(gateway.command("trace", "--last", "100", "--json").stdout)
    sets = {story["id"]: story["tags"]["mine.set"] for story in stories}
    assert sets == {by_new_set.id: "new"} | dict.fromkeys(by_old_set, "old")
    assert len(by_old_set) == SESSIONS
    assert len(sink.messages) == SESSIONS + 1
