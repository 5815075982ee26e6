"""The servers that are compared: how each is prepared, configured and started. Measuring them is not done here."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from contrib.bench.load import RECIPIENT, SESSIONS
from contrib.bench.processes import BenchError

_DOMAIN = RECIPIENT.rpartition("@")[2]


@dataclass(frozen=True)
class Place:
    """Where one start of a server happens: an empty directory of its own, its port, and the next hop's port."""

    directory: Path
    port: int
    next_hop_port: int


class Subject(ABC):
    """One line of the tables."""

    key: str
    title: str
    relays: ClassVar[bool] = True

    def prepare(self) -> str | None:
        """Install what the subject needs. Returns why it cannot be measured on this machine, or None."""
        return None

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Names and versions of what is measured; asked for after `prepare` returned None."""

    @abstractmethod
    def set_up(self, place: Place) -> list[str]:
        """Write the configuration into `place.directory`; returns the command, which stays in the foreground."""


class SinkAlone(Subject):
    """smtp-sink without a relay in front: what taking the message costs in C, and a check of the load itself."""

    key = "sink"
    title = "smtp-sink alone, no relaying"
    relays = False

    def versions(self) -> dict[str, str]:
        return {}

    def set_up(self, place: Place) -> list[str]:
        raise BenchError("smtp-sink is started by the measurement itself")


class Stellwerk(Subject):
    """`stellwerk serve` with an empty chain, in one of the journal's two modes."""

    def __init__(self, journal: str) -> None:
        self.key = f"stellwerk-{journal}"
        self.title = f'Stellwerk, empty chain, journal "{journal}"'
        self._journal = journal
        self._program = Path(sys.executable).with_name("stellwerk")

    def prepare(self) -> str | None:
        if not self._program.exists():
            return "the stellwerk command is not installed: make setup"
        done = subprocess.run([self._program, "serve", "--help"], capture_output=True, check=False)
        return None if done.returncode == 0 else "stellwerk serve does not start in this checkout"

    def versions(self) -> dict[str, str]:
        return {"Stellwerk": importlib.metadata.version("stellwerk")} | installed("aiosmtpd", "SQLAlchemy", "uvloop")

    def set_up(self, place: Place) -> list[str]:
        state = place.directory / "state"
        state.mkdir(mode=0o700)
        config = place.directory / "stellwerk.toml"
        # a trusted peer, because 20 sessions from one address are what the limits for strangers are there to stop
        config.write_text(
            f"""\
plugins = []

[server]
hostname = "gw.example.org"
state_dir = {json.dumps(str(state))}

[store]
url = {json.dumps(f"sqlite:///{state / 'stellwerk.db'}")}
auto_upgrade = true

[journal]
mode = "{self._journal}"

[[listener]]
name = "mx"
protocol = "smtp"
role = "inbound"
address = "127.0.0.1:{place.port}"
tls = "none"
trusted_peers = ["127.0.0.1/32"]

[next_hop.sink]
kind = "smtp"
address = "127.0.0.1:{place.next_hop_port}"
connections = {SESSIONS}

[routing]
hosted = "sink"

[hosted."{_DOMAIN}"]
mailboxes = ["*"]
"""
        )
        return [str(self._program), "serve", "--config", str(config)]


class Aiosmtpd(Subject):
    """The relay of `baseline_aiosmtpd`."""

    key = "aiosmtpd"
    title = "aiosmtpd + aiosmtplib pool"

    def prepare(self) -> str | None:
        missing = [name for name in ("aiosmtpd", "aiosmtplib") if not installed(name)]
        return f"{' and '.join(missing)} not installed: make setup" if missing else None

    def versions(self) -> dict[str, str]:
        return installed("aiosmtpd", "aiosmtplib")

    def set_up(self, place: Place) -> list[str]:
        ports = ["--port", str(place.port), "--next-hop-port", str(place.next_hop_port)]
        return [sys.executable, "-m", "contrib.bench.baseline_aiosmtpd", *ports, "--connections", str(SESSIONS)]


class Haraka(Subject):
    """Haraka's smtp_forward, shipped configuration, one process; installed by npm into `cache` once, kept there."""

    key = "haraka"
    title = "Haraka smtp_forward"
    # with what these two resolve to by themselves the installation does not start
    _MANIFEST: ClassVar[dict[str, object]] = {
        "private": True,
        "dependencies": {"Haraka": "^3.3.4"},
        "overrides": {"encoding-japanese": "2.2.0", "libqp": "2.1.1"},
    }

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._package = cache / "node_modules" / "Haraka"

    def prepare(self) -> str | None:
        if not shutil.which("node"):
            return "no Node.js"
        manifest = json.dumps(self._MANIFEST, indent=2)
        recorded = self._cache / "package.json"
        complete = self._cache / "complete"
        if complete.exists() and recorded.read_text() == manifest:
            return None
        npm = shutil.which("npm")
        if not npm:
            return "no npm to install Haraka with"
        self._cache.mkdir(parents=True, exist_ok=True)
        complete.unlink(missing_ok=True)
        recorded.write_text(manifest)
        with (self._cache / "npm.log").open("wb") as log:
            done = subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=self._cache,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            return "npm could not install Haraka: see npm.log in var/bench/haraka"
        complete.touch()
        return None

    def versions(self) -> dict[str, str]:
        package = json.loads((self._package / "package.json").read_text())
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        return {"Haraka": str(package["version"]), "Node.js": node.stdout.strip().removeprefix("v")}

    def set_up(self, place: Place) -> list[str]:
        config = place.directory / "config"
        # Haraka reads no defaults from its own package; the shipped limit of 26 MB is enough for every row
        shutil.copytree(self._package / "config", config)
        files = {
            "me": "bench.example\n",
            "plugins": "rcpt_to.in_host_list\nheaders\nqueue/smtp_forward\n",
            "host_list": f"{_DOMAIN}\n",
            "log.ini": "[main]\nlevel=warn\ntimestamps=false\nformat=default\n",
            # without its cluster of one master and one worker it costs less: 5-10 % of CPU, 85 MB
            "smtp.ini": f"[main]\nlisten=127.0.0.1:{place.port}\nnodes=0\n",
            "smtp_forward.ini": f"[main]\nhost=127.0.0.1\nport={place.next_hop_port}\n",
        }
        for name, text in files.items():
            (config / name).write_text(text)
        return ["node", str(self._package / "bin" / "haraka"), "--configs", str(place.directory)]


def all_subjects(cache: Path) -> list[Subject]:
    """Every subject, in the order of the tables; `cache` is kept between runs."""
    return [Stellwerk("needed"), Stellwerk("all"), Aiosmtpd(), Haraka(cache / "haraka"), SinkAlone()]


def installed(*names: str) -> dict[str, str]:
    """Version by name of those Python distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
