"""A private Postfix for one test: own configuration, queue, log and Maildirs, on loopback ports of its own.

The system's Postfix, its configuration and its queue are neither read nor changed; only its programs and its two
accounts (postfix, postdrop) are used. Nothing here knows the gateway or a recipe.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import smtplib
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.waiting import until

# Maildirs belong to nobody: virtual(8) refuses to deliver as root.
_NOBODY = 65534

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log/mail.log
maillog_file_prefixes = {base}/log
myhostname = mx.example.test
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
# Tests play remote clients with XCLIENT.
smtpd_authorized_xclient_hosts = 127.0.0.0/8
virtual_mailbox_domains = example.test
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = texthash:{base}/etc/mailboxes
virtual_alias_maps = texthash:{base}/etc/aliases
transport_maps = texthash:{base}/etc/transports
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
# Nothing leaves this machine, and nothing is looked up in DNS: mail for elsewhere stays in the queue.
default_transport = smtp:[127.0.0.1]:1
relay_transport = $default_transport
smtp_dns_support_level = disabled
smtp_host_lookup = native
"""

# Clients of the tests are local to Postfix even behind XCLIENT; at the front it must take them for remote ones, whose
# headers it leaves alone.
_MASTER_CF = """\
127.0.0.1:{smtp_port} inet n - n - - smtpd
    -o local_header_rewrite_clients=
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

_TROUBLE = re.compile(r"^.*\b(?:fatal|panic|warning): .*$", re.MULTILINE)


class CommandFailed(AssertionError):
    """A program ended with an unexpected status. The text holds all that it printed."""


@dataclass(frozen=True, slots=True)
class RemoteClient:
    """Somebody elsewhere, played with XCLIENT: `name` and `address` as XCLIENT writes them."""

    name: str = "client.example"
    address: str = "192.0.2.7"
    helo: str = "helo.client.example"
    esmtp: bool = True


# Some kernels date files by a finer clock than time(2) reads (measured: one write in 200 was dated in the next second).
# cleanup warns and mends the date. Only where the host is seen to do this are exactly these two lines no trouble.
_OF_SUCH_A_HOST = (
    "cleanup.*: warning: file system clock is 1 seconds ahead of local clock",
    "cleanup.*: warning: resetting file time stamps - this hurts performance",
)
_CLOCK_REALTIME_COARSE = 5  # linux/time.h: what time(2) reads


@functools.cache
def _host_dates_files_ahead() -> bool:
    """Whether a file just written may be newer than the present second of time(2)."""
    with tempfile.TemporaryFile() as file:
        for _ in range(100):
            file.write(b"x")
            file.flush()
            os.fstat(file.fileno())
            file.write(b"x")
            file.flush()
            if os.fstat(file.fileno()).st_mtime_ns > time.clock_gettime_ns(_CLOCK_REALTIME_COARSE):
                return True
    return False


class PostfixInstance:
    """One private Postfix below a directory of its own in /tmp, since Postfix's user must be able to go there.

    Change the configuration with `append` before `start`, or after it followed by `reload`.
    """

    def __init__(self, smtp_port: int) -> None:
        self.smtp_port = smtp_port
        self.front = f"127.0.0.1:{smtp_port}/inet"  # the service that plays port 25, as `postconf -M` names it
        # Patterns of lines that a test brings about on purpose; by default nothing at all is tolerated.
        self.expected_trouble: list[str] = []
        self.base = Path(tempfile.mkdtemp(prefix="stellwerk-postfix-", dir="/tmp"))
        self.base.chmod(0o755)
        for name in ("etc", "queue", "data", "log", "mail"):
            (self.base / name).mkdir()
        shutil.chown(self.base / "data", "postfix")
        os.chown(self.base / "mail", _NOBODY, _NOBODY)
        self.etc = self.base / "etc"
        (self.etc / "main.cf").write_text(_MAIN_CF.format(base=self.base))
        (self.etc / "master.cf").write_text(_MASTER_CF.format(smtp_port=smtp_port))
        self.write_mailboxes([])
        self.write_aliases({})
        self.write_transports({})

    # configuration

    def append(self, *, main_cf: str = "", master_cf: str = "") -> None:
        """Put lines at the end of main.cf and master.cf, as an administrator pastes them."""
        for name, text in (("main.cf", main_cf), ("master.cf", master_cf)):
            with (self.etc / name).open("a") as file:
                file.write(text)

    def put_postscreen_in_front(self) -> None:
        """Have postscreen take the connections and hand them over to smtpd, as Postfix's POSTSCREEN_README says.

        It keeps its list of good clients in data_directory; everybody is tested, and new clients wait for a second.
        """
        file = self.etc / "master.cf"
        text = file.read_text()
        front = f"127.0.0.1:{self.smtp_port} inet n - n - "
        assert text.count(f"{front}- smtpd\n") == 1
        self.append(main_cf="postscreen_access_list =\npostscreen_greet_wait = 1s\npostscreen_greet_action = enforce\n")
        file.write_text(text.replace(f"{front}- smtpd\n", f"{front}1 postscreen\nsmtpd pass - - n - - smtpd\n"))
        self.front = "smtpd/pass"

    async def apply(self, recipe: Mapping[str, str]) -> None:
        """Put in the parts of a printed recipe that are for Postfix, as the recipe says: append, then paste."""
        self.append(main_cf=recipe.get("main.cf", ""), master_cf=recipe.get("master.cf", ""))
        if commands := recipe.get("commands"):
            await self.paste(commands)

    async def configuration(self) -> list[str]:
        """What main.cf and master.cf say, without comments and layout."""
        return (await self.paste("postconf -n; postconf -M")).splitlines()

    async def paste(self, commands: str) -> str:
        """Run shell commands as an administrator of this instance does; what they print. CommandFailed if one fails."""
        return await checked("env", f"MAIL_CONFIG={self.etc}", "sh", "-euc", commands)

    def set(self, **settings: str) -> None:
        """Give main.cf parameters other values. (A second line for the same name makes every daemon warn.)"""
        names = "|".join(map(re.escape, settings))
        kept = re.sub(rf"^(?:{names}) = .*\n", "", (self.etc / "main.cf").read_text(), flags=re.MULTILINE)
        (self.etc / "main.cf").write_text(kept + "".join(f"{name} = {value}\n" for name, value in settings.items()))

    def snapshot(self) -> Callable[[], None]:
        """Remember main.cf and master.cf as they are; calling the result puts them back."""
        files = [(file, file.read_text()) for file in (self.etc / "main.cf", self.etc / "master.cf")]

        def restore() -> None:
            for file, text in files:
                file.write_text(text)

        return restore

    def write_mailboxes(self, names: Iterable[str]) -> None:
        """Which local parts of example.test have a Maildir. A running Postfix needs `reload` to see it."""
        lines = [f"{name}@example.test example.test/{name}/\n" for name in names]
        (self.etc / "mailboxes").write_text("".join(lines))

    def write_aliases(self, aliases: Mapping[str, Sequence[str]]) -> None:
        """Virtual aliases, full addresses on both sides. A running Postfix needs `reload` to see it."""
        lines = [f"{alias} {', '.join(targets)}\n" for alias, targets in aliases.items()]
        (self.etc / "aliases").write_text("".join(lines))

    def write_transports(self, transports: Mapping[str, str]) -> None:
        """By which way mail to an address leaves. A running Postfix needs `reload` to see it."""
        lines = [f"{address} {transport}\n" for address, transport in transports.items()]
        (self.etc / "transports").write_text("".join(lines))

    # life

    async def start(self) -> None:
        await self._postfix("start")

    async def reload(self) -> None:
        await self._postfix("reload")

    async def stop(self) -> None:
        """End every process of this instance. Good for one that never came up, too."""
        if (await _run("postfix", "-c", str(self.etc), "status"))[0] == 0:
            await _run("postfix", "-c", str(self.etc), "stop")
            await until(self._is_down, "Postfix has stopped")

    def remove(self) -> None:
        """Delete all files of a stopped instance."""
        shutil.rmtree(self.base)

    async def _is_down(self) -> bool:
        return (await _run("postfix", "-c", str(self.etc), "status"))[0] != 0

    async def _postfix(self, verb: str) -> None:
        status, output = await _run("postfix", "-c", str(self.etc), verb)
        if status:
            raise CommandFailed(f"postfix {verb} ended with {status}: {output}\n{self.log}")

    # mail in

    async def inject(
        self, data: bytes, sender: str, recipients: Sequence[str], client: RemoteClient | None = None
    ) -> None:
        """Submit `data` (CRLF lines) in one transaction. smtplib's exceptions tell what Postfix refused."""
        await asyncio.to_thread(self._inject, data, sender, recipients, client)

    def _inject(self, data: bytes, sender: str, recipients: Sequence[str], client: RemoteClient | None) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, "client.example", timeout=120) as connection:
            if client:
                connection.ehlo()
                code, text = connection.docmd("XCLIENT", f"NAME={client.name} ADDR={client.address}")
                if code != 220:
                    raise smtplib.SMTPResponseException(code, text)
                _ = connection.ehlo(client.helo) if client.esmtp else connection.helo(client.helo)
            if refused := connection.sendmail(sender, recipients, data):
                raise smtplib.SMTPRecipientsRefused(refused)

    async def swaks(self, *arguments: str) -> str:
        """Run swaks against this instance and return its transcript."""
        return await checked("swaks", "--server", f"127.0.0.1:{self.smtp_port}", *arguments)

    async def smtp_source(self, *arguments: str) -> None:
        """Run smtp-source against this instance."""
        await checked("smtp-source", *arguments, f"127.0.0.1:{self.smtp_port}")

    # queue and log

    async def queue(self) -> list[dict[str, Any]]:
        """What waits, as `postqueue -j` prints it: queue_name, sender, recipients (address, delay_reason), and more."""
        output = await checked("postqueue", "-c", str(self.etc), "-j")
        return [json.loads(line) for line in output.splitlines()]

    async def flush(self) -> None:
        """Have everything that waits tried now, whatever its back-off (`postqueue -f`)."""
        await checked("postqueue", "-c", str(self.etc), "-f")

    async def wait_until_queue_is_empty(self) -> None:
        async def empty() -> bool:
            return not await self.queue()

        try:
            await until(empty, "the queue is empty")
        except AssertionError as error:
            raise AssertionError(f"{error}; the queue holds {await self.queue()}:\n{self.log[-4000:]}") from None

    async def wait_until_deferred(self, count: int) -> None:
        """Wait until the queue holds `count` messages, all of them deferred."""

        async def waiting() -> bool:
            return [entry["queue_name"] for entry in await self.queue()] == ["deferred"] * count

        await until(waiting, f"{count} messages are deferred")

    async def check(self) -> str:
        """What `postfix check` says about the configuration; it says nothing when it finds nothing."""
        return await checked("postfix", "-c", str(self.etc), "check")

    @property
    def log(self) -> str:
        """The mail log so far."""
        file = self.base / "log" / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def log_lines(self, pattern: str) -> list[str]:
        """Lines of the mail log in which the regular expression is found."""
        return [line for line in self.log.splitlines() if re.search(pattern, line)]

    def trouble(self) -> list[str]:
        """Lines of the mail log that say fatal, panic or warning, but for those that the test has announced."""
        found = _TROUBLE.findall(self.log)
        announced = [*self.expected_trouble, *(_OF_SUCH_A_HOST if _host_dates_files_ahead() else ())]
        return [line for line in found if not any(re.search(pattern, line) for pattern in announced)]

    def assert_quiet_log(self) -> None:
        """Fail with the lines of the mail log that say fatal, panic or warning. See `expected_trouble`."""
        if trouble := self.trouble():
            raise AssertionError("the mail log holds\n" + "\n".join(trouble))

    # mail out

    def delivered(self, mailbox: str) -> list[bytes]:
        """The messages in one Maildir of example.test, LF lines, in no order."""
        return [file.read_bytes() for file in (self.base / "mail" / "example.test" / mailbox / "new").glob("*")]

    def count_delivered(self) -> int:
        """How many messages all Maildirs hold together."""
        return sum(1 for _ in (self.base / "mail").glob("example.test/*/new/*"))

    async def wait_until_delivered(self, count: int, mailbox: str | None = None) -> None:
        """Wait until one Maildir, or all together, hold `count` messages; more than that fails at once."""

        def holds() -> bool:
            found = len(self.delivered(mailbox)) if mailbox else self.count_delivered()
            assert found <= count, f"{found} messages were delivered, {count} expected"
            return found == count

        await until(holds, f"{count} messages lie in {mailbox or 'all Maildirs'}:\n{self.log[-4000:]}")


async def checked(*argv: str) -> str:
    """Run a program and return what it printed. CommandFailed when its status is not 0."""
    status, output = await _run(*argv)
    if status:
        raise CommandFailed(f"{' '.join(argv)} ended with {status}:\n{output}")
    return output


async def _run(*argv: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
