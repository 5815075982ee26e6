"""What a RCPT costs in a small and in a large directory: the same, or the database is asked in a wrong way.

`make bench` runs it after the relays and writes LOOKUPS.md. Nothing is sent: each transaction is RCPTs and an RSET.
"""

from __future__ import annotations

import datetime
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sqlalchemy import insert, update

from contrib.bench import machine
from contrib.bench.load import free_port, wait_for_greeting
from contrib.bench.processes import cpu_seconds, peak_memory, stop
from contrib.bench.subjects import Stellwerk
from gateway.directory.cache import POLL_SECONDS
from gateway.directory.tables import address, context, directory_version, domain, mailbox, organisation, person
from gateway.store.engine import open_engine, parse_url
from gateway.store.upgrade import CORE, upgrade

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / "var" / "bench"
REPORT = Path(__file__).with_name("LOOKUPS.md")

SIZES = (1_000, 100_000)
PER_TRANSACTION = 100
TRANSACTIONS = 300
ROUNDS = 3
FORGOTTEN = 20
_UNTIL_SEEN_SECONDS = 4 * POLL_SECONDS
_PIECE = 10_000

_CONFIG = """\
[server]
hostname = "gw.example.org"
state_dir = {state}

[store]
url = {url}

[[listener]]
name = "mx"
address = "127.0.0.1:{port}"
trusted_peers = ["127.0.0.1/32"]
max_recipients = 1000
max_errors = 1000000
max_idle_commands = 1000000

[next_hop.mail]
kind = "maildir"
path = {mail}
"""


@dataclass(frozen=True)
class Asked:
    """A row: which addresses are named. With `forgotten` the directory changes before every thousandth."""

    title: str
    known: bool
    forgotten: bool


ASKED = (
    Asked("asked of the database", known=True, forgotten=True),
    Asked("remembered", known=True, forgotten=False),
    Asked("unknown, asked of the database", known=False, forgotten=False),
)


def fill(url: str, mailboxes: int) -> None:
    """A directory with so many people and mailboxes, written past the commands: it is only to be large."""
    upgrade(url, [CORE])
    now = time.time()
    with open_engine(parse_url(url), "write").begin() as connection:
        connection.execute(insert(organisation).values(id="o", name="acme", created_at=now))
        connection.execute(insert(context).values(id="c", organisation_id="o", name="main", created_at=now))
        connection.execute(
            insert(domain).values(
                id="d", name="acme.test", organisation_id="o", state="trusted", state_since=now, created_at=now
            )
        )
        for start in range(0, mailboxes, _PIECE):
            numbers = range(start, min(start + _PIECE, mailboxes))
            names = {number: f"person{number}@acme.test" for number in numbers}
            common = {"context_id": "c", "created_at": now}
            people = [{"id": f"p{n}", "address": names[n], "role": "member", **common} for n in numbers]
            boxes = [
                {"id": f"m{n}", "address": names[n], "kind": "personal", "owner_id": f"p{n}", **common} for n in numbers
            ]
            keys = [
                {"key": names[n], "domain": "acme.test", "mailbox_id": f"m{n}", "kind": "main", "created_at": now}
                for n in numbers
            ]
            for table, rows in ((person, people), (mailbox, boxes), (address, keys)):
                connection.execute(insert(table), rows)


@contextmanager
def _running(directory: Path, url: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    config = directory / "stellwerk.toml"
    values = {"state": str(directory / "state"), "url": url, "mail": str(directory / "mail/{domain}/{local}")}
    (directory / "state").mkdir(mode=0o700, exist_ok=True)
    config.write_text(_CONFIG.format(port=port, **{name: json.dumps(value) for name, value in values.items()}))
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("stellwerk")), "serve", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_greeting(process, port, log)
        yield process.pid, port
    finally:
        stop(process, signal.SIGTERM)


def _addresses(asked: Asked, mailboxes: int, count: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    if not asked.known:
        return [f"nobody{chosen.randrange(10**9)}@acme.test" for _ in range(count)]
    few = [f"person{number}@acme.test" for number in chosen.sample(range(mailboxes), min(count, SIZES[0]))]
    return [few[number % len(few)] for number in range(count)]


def _ask(port: int, addresses: list[str], *, known: bool) -> None:
    """Name all of them, pipelined. Raises AssertionError when an answer is not the right one."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        replies = connection.makefile("rb")
        replies.readline()
        connection.sendall(b"EHLO bench.example\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        expected = b"250" if known else b"550"
        for start in range(0, len(addresses), PER_TRANSACTION):
            named = addresses[start : start + PER_TRANSACTION]
            commands = ["MAIL FROM:<a@bench.example>", *(f"RCPT TO:<{each}>" for each in named), "RSET"]
            connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
            told = [replies.readline() for _ in commands]
            wrong = [reply for reply in told[1:-1] if not reply.startswith(expected)]
            if wrong:
                raise AssertionError(f"expected {expected.decode()}, got {wrong[0]!r}")


def measure(mailboxes: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of CPU for one RCPT by row, a value a round; and the peak memory of all processes in bytes."""
    with tempfile.TemporaryDirectory(dir=STATE, prefix="lookups-") as name:
        directory = Path(name)
        url = f"sqlite:///{directory / 'store.db'}"
        fill(url, mailboxes)
        found: dict[str, list[float]] = {asked.title: [] for asked in ASKED}
        with _running(directory, url) as (pid, port):
            _ask(port, _addresses(ASKED[0], mailboxes, 2000, 0), known=True)
            for number in range(ROUNDS):
                for asked in ASKED:
                    found[asked.title].append(_cell(asked, mailboxes, number, pid, port, url))
            return found, peak_memory(pid).total


def _cell(asked: Asked, mailboxes: int, number: int, pid: int, port: int, url: str) -> float:
    count = SIZES[0] if asked.forgotten else TRANSACTIONS * PER_TRANSACTION
    times = FORGOTTEN if asked.forgotten else 1
    used = 0.0
    for turn in range(times):
        addresses = _addresses(asked, mailboxes, count, 1000 * number + turn)
        if asked.forgotten:
            with open_engine(parse_url(url), "write").begin() as connection:
                connection.execute(update(directory_version).values(number=directory_version.c.number + 1))
            time.sleep(_UNTIL_SEEN_SECONDS)
        before = cpu_seconds(pid)
        _ask(port, addresses, known=asked.known)
        used += cpu_seconds(pid) - before
    return used * 1000 / (times * count)


def markdown(found: dict[int, tuple[dict[str, list[float]], int]], facts: dict[str, str], date: str) -> str:
    """LOOKUPS.md. The last column is the larger directory's cost as a multiple of the smaller one's."""
    small, large = SIZES
    lines = [
        "# What a RCPT costs",
        "",
        f"Written by `make bench` on {date}. One session, {PER_TRANSACTION} recipients a transaction,",
        f"{FORGOTTEN * SIZES[0]:,} to {TRANSACTIONS * PER_TRANSACTION:,} in each cell; server CPU in milliseconds",
        f"for one RCPT, median of {ROUNDS} rounds.",
        "",
        f"| | {small:,} mailboxes | {large:,} mailboxes | ratio |",
        "|---|---:|---:|---:|",
    ]
    for asked in ASKED:
        cells = [median(found[size][0][asked.title]) for size in SIZES]
        lines.append(f"| {asked.title} | {cells[0]:.4f} | {cells[1]:.4f} | {cells[1] / cells[0]:.2f} |")
    peaks = [found[size][1] / 1_000_000 for size in SIZES]
    lines.append(f"| peak memory of all processes, MB | {peaks[0]:.0f} | {peaks[1]:.0f} | {peaks[1] / peaks[0]:.2f} |")
    lines += [
        "",
        "The design's bound for the ratio of CPU is 1.3. Up to 50,000 answers are remembered in each process.",
        "",
    ]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {}
    for size in SIZES:
        print(f"look-ups in a directory of {size:,} mailboxes ...", file=sys.stderr)
        found[size] = measure(size)
    facts = machine.describe(CHECKOUT, [Stellwerk("all")])
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = markdown(found, facts, date)
    REPORT.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
