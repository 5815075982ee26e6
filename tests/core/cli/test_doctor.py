"""`stellwerk doctor`: a right installation passes, each thing that is wrong is named with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.config import read
from gateway.doctor.certificates import certificate_findings
from gateway.doctor.checks import Finding, examine
from gateway.testing.dns_server import DnsServer
from tests.certificates import authority
from tests.core.as_nobody import as_nobody, let_everybody_into
from tests.core.cli.running import CONFIG, stellwerk
from tests.integration.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways


async def findings(directory: Path, text: str = "") -> list[Finding]:
    """What doctor says in `directory`, where DNS works unless `text` says otherwise."""
    async with DnsServer([("example.test", "NS", "ns.example.test.", 300)]) as server:
        dns = "" if "[dns]" in text else f'[dns]\nnameservers = ["{server.address}"]\n'
        return await examine(read(CONFIG.format(directory=directory) + dns + text))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users, so it needs root")


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


async def test_nothing_has_been_started_yet_and_nothing_is_made(tmp_path: Path) -> None:
    found = await findings(tmp_path)
    assert not [*tmp_path.iterdir()]  # noqa: ASYNC240 - one look at an empty directory
    assert "state is missing" in texts(found, "warning", "state")
    assert "the store is empty" in texts(found, "warning", "store")
    assert "the gateway does not run" in texts(found, "warning", "listeners")


async def test_a_directory_where_the_secret_should_be(tmp_path: Path) -> None:
    (tmp_path / "state/secret").mkdir(mode=0o755, parents=True)
    said = texts(await findings(tmp_path), "failed", "state")
    assert "state/secret is no file; the gateway's secret belongs there: move it away, and the next start makes" in said


async def test_a_file_where_the_spool_should_be(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/spool").touch()
    said = texts(await findings(tmp_path), "failed", "state")
    assert "state/spool is no directory; move away what stands there, or use another place" in said


async def test_a_database_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    with closing(sqlite3.connect(tmp_path / "state/stellwerk.db")) as database:
        database.execute("CREATE TABLE trace (id TEXT)")
    found = await findings(tmp_path)
    said = "state/stellwerk.db holds tables of another program (trace); set another url in [store]"
    assert said in texts(found, "failed", "store")
    assert texts(found, "warning", "store") == ""


async def test_a_state_directory_that_is_open_to_others(tmp_path: Path) -> None:
    (tmp_path / "state/spool").mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "state/secret").write_text("00" * 32)
    (tmp_path / "state/secret").chmod(0o640)
    found = await findings(tmp_path)
    assert f"run: chmod 700 {tmp_path}/state" in texts(found, "warning", "state")
    assert texts(found, "ok", "state") == ""
    assert f"{tmp_path}/state/secret can be read by others (mode 0640); run: chmod 600" in texts(
        found, "failed", "state"
    )


async def test_a_missing_spool(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    assert f"the spool {tmp_path}/state/spool is missing" in texts(await findings(tmp_path), "failed", "state")


MB = 1_000_000


@pytest.mark.parametrize(
    ("free", "status", "expected"),
    [
        (10 * MB, "failed", "has 10 MB free, less than one message may have (37 MB); make room"),
        (100 * MB, "warning", "has 100 MB free, room for 2 messages of the largest size; make room"),
        (9000 * MB, "ok", "has 9,000 MB free"),
    ],
)
async def test_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str, expected: str
) -> None:
    monkeypatch.setattr("gateway.doctor.files.free_bytes", lambda path: (free, True))
    text = texts(await findings(tmp_path), status, "space")
    assert text.startswith(f"{tmp_path} (state_dir, spool, database, next hop mail) {expected}")


async def test_no_inodes_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.doctor.files.free_bytes", lambda path: (9000 * MB, False))
    assert "has no inode left for another file" in texts(await findings(tmp_path), "failed", "space")


async def test_a_secret_that_this_user_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state/spool").mkdir(parents=True)
    (tmp_path / "state").chmod(0o700)
    (tmp_path / "state/secret").write_text("00" * 32)
    monkeypatch.setattr("gateway.doctor.files.secret_problem", _refused)
    found = await findings(tmp_path)
    assert "cannot read" in texts(found, "failed", "state")
    assert f"{tmp_path}/state/secret" in texts(found, "failed", "state")
    assert texts(found, "ok", "clock")


def _refused(path: Path) -> str | None:
    raise PermissionError(13, "Permission denied", str(path))


@needs_root
def test_what_workers_may_not_write(tmp_path: Path) -> None:
    let_everybody_into(tmp_path)
    for name in ("state/spool", "mail"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name).chmod(0o700)
    text = CONFIG.format(directory=tmp_path).replace("[server]", '[server]\nuser = "nobody"')
    config = read(text + '[dns]\nnameservers = ["127.0.0.1:1"]\n')

    def ask() -> str:
        return json.dumps([one.to_json() for one in asyncio.run(examine(config))])

    ask_as_root = asyncio.run(examine(config))  # and imports what the child could not read
    assert texts(ask_as_root, "failed", "state") == ""
    found = [Finding(**one) for one in json.loads(as_nobody(ask))]
    mail = f"user nobody cannot write to {tmp_path}/mail (root:root 0700); run: chown -R nobody {tmp_path}/mail"
    assert texts(found, "failed", "next hops") == f"next hop 'mail' (maildir): {mail}"
    state = f"{tmp_path}/state (root:root 0755); run: chown -R nobody {tmp_path}/state"
    assert texts(found, "failed", "state") == f"user nobody cannot write to {state}"
    assert texts(found, "ok", "clock")


@needs_root
def test_root_becomes_the_workers_user(tmp_path: Path) -> None:
    config = read(CONFIG.format(directory=tmp_path).replace("[server]", '[server]\nuser = "nobody"'))
    script = (
        "import os, sys; from gateway.config import read; from gateway.doctor.checks import become_workers_user\n"
        "from gateway.errors import StellwerkError\n"
        "try: become_workers_user(read(sys.stdin.read()))\n"
        "except StellwerkError as error: print(error, file=sys.stderr)\n"
        "print(os.getresuid(), os.getgroups())"
    )
    assert config.source is not None
    ran = subprocess.run(
        [sys.executable, "-c", script], input=config.source.text, capture_output=True, text=True, check=True
    )
    nobody = pwd.getpwnam("nobody")
    assert ran.stdout.startswith(str((nobody.pw_uid,) * 3))
    assert "0" not in ran.stdout.partition(") ")[2].strip("[]\n").split(", ")
    assert ran.stderr == "" or ran.stderr.startswith("user nobody cannot read ")


@needs_root
async def test_a_user_that_does_not_exist(tmp_path: Path) -> None:
    text = CONFIG.format(directory=tmp_path).replace("[server]", '[server]\nuser = "nobody-of-that-name"')
    found = await examine(read(text + '[dns]\nnameservers = ["127.0.0.1:1"]\n'))
    assert 'server.user = "nobody-of-that-name": there is no such user' in texts(found, "failed", "configuration")


async def test_a_next_hop_that_is_down_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hop = f'[next_hop.out]\nkind = "smtp"\naddress = "127.0.0.1:{unused.getsockname()[1]}"\n'
        config.write_text(CONFIG.format(directory=tmp_path) + hop + '[dns]\nnameservers = ["127.0.0.1:1"]\n')
        ran = await stellwerk(config, "doctor")
    assert ran.errors == ""
    assert ran.output.count("takes no mail") == 1


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
    assert texts(found, "failed", "next hops").endswith(
        "takes no mail: Connection refused; start it, or correct next_hop.out.address"
    )
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


def with_certificate(directory: Path, *, days: float, since_days: float = 60) -> str:
    authority().write(directory, leaf=authority().issue(days=days, since_days=since_days))
    settings = f'tls = "starttls"\ntls_certificate = "{directory}/gw.pem"\ntls_key = "{directory}/gw.key"\n'
    return CONFIG.format(directory=directory).replace('name = "mx"\n', f'name = "mx"\n{settings}', 1)


@pytest.mark.parametrize(
    ("days", "status", "expected"),
    [
        (40.5, "ok", "good for 40 days"),
        (9.5, "warning", "expires in 9 days, on "),
        (-1, "failed", "expired on "),
    ],
)
async def test_c5_how_long_certificates_hold(tmp_path: Path, days: float, status: str, expected: str) -> None:
    config = read(with_certificate(tmp_path, days=days))
    ((found, said),) = certificate_findings(config)
    where = f'listener "mx", tls_certificate {tmp_path}/gw.pem: '
    assert (found, said.partition(expected)[:2]) == (status, (where, expected))


async def test_c5_a_certificate_that_does_not_serve(tmp_path: Path) -> None:
    text = with_certificate(tmp_path, days=40)
    (tmp_path / "gw.key").chmod(0o644)
    found = await examine(read(text + '[dns]\nnameservers = ["127.0.0.1:1"]\n'))
    assert "every account of this machine may read the key" in texts(found, "failed", "certificates")
