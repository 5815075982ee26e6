"""A private PostgreSQL for tests: account, directory and port of its own. The system's cluster is not touched."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.integration.ports import PortReservation
from tests.servers import postgresql_program

# Waits for the end of its standard input, which is the end of the process that started it, however that came.
_TIDY_UP = 'cat >/dev/null; kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; sleep 1; rm -rf "$1"'

OWNER = "tester"
"""The role that owns everything; it needs no password."""
GUARDED = "guarded"
"""A role that the server asks for its password."""
PASSWORD = "right"

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
shared_buffers = 16MB
log_min_messages = fatal
"""
# Fast, and forgets everything with the machine; a crash of the server alone loses nothing.
_CARELESS = "fsync = off\nfull_page_writes = off\nautovacuum = off\n"
_ACCESS = f"""
local all all trust
host all {GUARDED} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


class PostgresqlServer:
    """One server, run as `nobody` when root runs the tests: PostgreSQL refuses to be root.

    `durable` keeps fsync on, which costs the other tests too much.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._ports = PortReservation()
        self.port = self._ports.take()
        # Below /tmp, which every account may enter, and short: a socket's path has 107 octets.
        self.directory = Path(tempfile.mkdtemp(prefix="stellwerk-postgresql-", dir="/tmp"))
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        self._settings = _SETTINGS.format(port=self.port, directory=self.directory) + ("" if durable else _CARELESS)
        self._data = self.directory / "data"
        self._tether = subprocess.Popen(
            ["/bin/sh", "-c", _TIDY_UP, "sh", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._free: list[str] = []
        self._made = 0

    def start(self) -> None:
        """Make the cluster and start it; returns when it takes connections."""
        self._run("initdb", "--username", OWNER, "--no-sync", "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(self._settings)
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        self.resume()
        self.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")

    def resume(self) -> None:
        """Start again after `crash`; returns when it has recovered."""
        self._run("pg_ctl", "--wait", "--log", str(self.directory / "log"), "start")

    def crash(self) -> None:
        """Stop as a power cut would, but for what the kernel has not written yet. Does nothing when it is stopped."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "--wait", "--mode", "immediate", "stop")

    def restart(self) -> None:
        """`pg_ctl restart -m immediate`: every connection breaks, and the server recovers from its log."""
        self._run("pg_ctl", "--wait", "--mode", "immediate", "--log", str(self.directory / "log"), "restart")

    def remove(self) -> None:
        """Stop, and leave nothing behind."""
        try:
            self.crash()
        finally:
            self._tether.kill()
            self._tether.communicate()
            shutil.rmtree(self.directory, ignore_errors=True)
            self._ports.release()

    def url(self, database: str, *, user: str = OWNER, password: str = "") -> str:
        """For `[store] url`, over loopback."""
        secret = f":{quote(password)}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database. It is emptied again and kept: making one takes longer than most tests."""
        if not self._free:
            self._made += 1
            self._free.append(f"test{self._made}")
            self.execute(f"CREATE DATABASE test{self._made}")
        name = self._free.pop()
        yield self.url(name)
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            name,
        )
        self.execute("DROP SCHEMA public CASCADE", name)
        self.execute("CREATE SCHEMA public", name)
        self.execute("GRANT USAGE ON SCHEMA public TO PUBLIC", name)  # as it is in a new database
        self._free.append(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """One statement as the owner, committed."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())
        connection.close()

    def run_client(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's client programs as the owner, over the socket."""
        where = ("--host", str(self.directory), "--port", str(self.port), "--username", OWNER)
        subprocess.run([postgresql_program(program), *where, *arguments], check=True, stdin=subprocess.DEVNULL)

    def _run(self, program: str, *arguments: str) -> None:
        """AssertionError with what it printed when it fails."""
        output = self.directory / "output"
        # A file and not a pipe: the server that pg_ctl starts would keep that open for ever.
        with output.open("wb") as file:
            ended = subprocess.run(
                [postgresql_program(program), "--pgdata", str(self._data), *arguments],
                cwd="/",
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                user=self._account.pw_uid if self._account else None,
                group=self._account.pw_gid if self._account else None,
                extra_groups=[] if self._account else None,
                check=False,
            )
        assert ended.returncode == 0, f"{program} ended with {ended.returncode}:\n{output.read_text()}"
