"""A private Dovecot for tests: own directories, own users, own log, on loopback ports and sockets of its own.

The system's Dovecot is neither read nor changed; only its programs and its two accounts are used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.integration.waiting import until

_NOBODY = 65534

# Without the pauses behind a failed login and for a client that has failed before: nobody here guesses passwords.
_CONF = """\
base_dir = {base}/run
state_dir = {base}/state
mail_temp_dir = {base}/temp
log_path = {base}/log
protocols =
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
postmaster_address = postmaster@example.test
hostname = store.example.test
mail_location = maildir:{base}/mail/%d/%n
first_valid_uid = {nobody}
mail_uid = {nobody}
mail_gid = {nobody}
mail_plugins = quota
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage=200M
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  client_limit = 100
}}
"""
_USERS = """\
passdb {{
  driver = passwd-file
  args = {base}/users
}}
userdb {{
  driver = passwd-file
  args = {base}/users
}}
"""

_TROUBLE = re.compile(r"^.*(?:Fatal|Panic|Error|Warning): .*$", re.MULTILINE)

_IS_STARTING = " starting up "

PASSWORD = "correct horse"


class DovecotInstance:
    """One private Dovecot below a directory in /tmp. `users` maps user names to a quota in bytes, 0 for the default.

    Without `users` the configuration must say where they are.
    """

    def __init__(self, users: Mapping[str, int] | None, configuration: str = "") -> None:
        self.base = Path(tempfile.mkdtemp(prefix="stellwerk-dovecot-", dir="/tmp"))
        self.base.chmod(0o755)
        for name in ("run", "state", "mail", "temp"):
            (self.base / name).mkdir()
        for name in ("mail", "temp"):
            os.chown(self.base / name, _NOBODY, _NOBODY)
        self._process: asyncio.subprocess.Process | None = None
        self._users = self.base / "users"
        quota = {0: ""}
        lines = [
            f"{name}:{{PLAIN}}{PASSWORD}::::::{quota.get(limit, f'userdb_quota_rule=*:bytes={limit}')}\n"
            for name, limit in (users or {}).items()
        ]
        self._users.write_text("".join(lines))
        self._conf = self.base / "dovecot.conf"
        template = _CONF if users is None else _CONF + _USERS
        self._conf.write_text(template.format(base=self.base, nobody=_NOBODY))
        self.append(configuration)

    def append(self, configuration: str) -> None:
        """Put lines at the end of the configuration, as an administrator does with a file in conf.d."""
        with self._conf.open("a") as file:
            file.write(configuration)

    async def start(self) -> None:
        """Start, and wait until it says so. AssertionError with its log when it does not come up."""
        starts = self.log.count(_IS_STARTING)  # before: it may have said so by the time its process is known here
        with (self.base / "output").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                "dovecot", "-F", "-c", self._conf, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._process = process

        def is_up() -> bool:
            told = (self.base / "output").read_text()
            assert process.returncode is None, f"dovecot ended with {process.returncode}:\n{told}{self.log}"
            return self.log.count(_IS_STARTING) > starts

        await until(is_up, "dovecot has started", 30)

    async def stop(self, *, kill: bool = False) -> None:
        """End the master, and so every process; with `kill` at once, whatever they are at."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            # All at once: one that lives a moment longer than another logs that it misses it.
            process.send_signal(signal.SIGSTOP)
            _signal_all(children := _children(process.pid), signal.SIGSTOP)
            _signal_all([process.pid, *children], signal.SIGKILL)
        else:
            children = _children(process.pid)
            process.send_signal(signal.SIGTERM)
        await process.wait()
        await until(lambda: not any(_is_alive(child) for child in children), "dovecot has ended")

    def remove(self) -> None:
        """Delete all files of a stopped instance."""
        shutil.rmtree(self.base)

    @property
    def log(self) -> str:
        file = self.base / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def trouble(self) -> list[str]:
        """Lines of the log that say that something is wrong with Dovecot or its configuration."""
        return [line for line in _TROUBLE.findall(self.log) if "Killed with signal 15" not in line]

    def delivered(self, local: str, folder: str = "") -> list[bytes]:
        """The messages in a mailbox of example.test, or in one folder of it, in no order."""
        directory = self.base / "mail" / "example.test" / local / (f".{folder}" if folder else "")
        return [file.read_bytes() for file in [*directory.glob("new/*"), *directory.glob("cur/*")]]

    def make_folder(self, local: str, folder: str) -> None:
        mailbox = self.base / "mail" / "example.test" / local
        for directory in (
            mailbox.parent,
            mailbox,
            *(mailbox / f".{folder}" / name for name in ("", "cur", "new", "tmp")),
        ):
            directory.mkdir(exist_ok=True)
            os.chown(directory, _NOBODY, _NOBODY)


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
