"""Starting: what is printed, what refuses to start and in which words. Real processes, stand-in workers."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.core.supervisor.serving import CHECKOUT, Serving

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways

NOBODY = "nobody"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users, so it needs root")


def open_to_others(serving: Serving) -> None:
    """Let another user into the test's directory; a named skip where it could not even run the interpreter."""
    try:
        subprocess.run(
            [sys.executable, "-c", "import gateway.config"], cwd=CHECKOUT, user=NOBODY, capture_output=True, check=True
        )
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip(f"user {NOBODY} cannot run {sys.executable} or read this checkout")
    # However deep pytest puts it (xdist adds a level), every directory of ours on the way must let others pass.
    temporary = Path(tempfile.gettempdir())
    for directory in (serving.directory, *serving.directory.parents):
        if directory == temporary or not directory.is_relative_to(temporary):
            break
        directory.chmod(0o755)


def status_of(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text()


async def refusal(serving: Serving) -> tuple[int, str]:
    """Exit status and last line of a supervisor that cannot start."""
    await serving.launch()
    status = await serving.ended()
    assert "Traceback" not in serving.output
    return status, serving.output.strip().splitlines()[-1]


async def test_start_serve_stop(serving: Serving) -> None:
    serving.configure(server="workers = 2\ndrain_seconds = 5")
    await serving.start()
    greeting = await serving.ask()
    assert greeting["first_start"] is True
    assert greeting["instance"].count("-") == 2
    assert f"mx  smtp on {serving.address} (inbound)" in serving.output
    assert await serving.stop() == 0
    assert not (serving.state / "running.json").exists()


async def test_the_state_directory_is_private(serving: Serving) -> None:
    await serving.start()
    modes = {
        name: stat.S_IMODE((serving.state / name).stat().st_mode) for name in (".", "spool", "secret", "node", "lock")
    }
    # Whoever workers run as may ask who runs.
    assert stat.S_IMODE((serving.state / "running.json").stat().st_mode) == 0o644
    assert modes == {".": 0o700, "spool": 0o700, "secret": 0o600, "node": 0o600, "lock": 0o600}
    assert len(bytes.fromhex((serving.state / "secret").read_text())) == 32
    node, secret = (serving.state / "node").read_text(), (serving.state / "secret").read_text()
    first = await serving.ask()
    await serving.stop()
    await serving.start()
    second = await serving.ask()
    assert (node, secret) == ((serving.state / "node").read_text(), (serving.state / "secret").read_text())
    assert first["instance"].split("-")[0] == second["instance"].split("-")[0]
    assert first["instance"].split("-")[1] != second["instance"].split("-")[1]


async def test_c5_port_in_use(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serving.configure(address=f"127.0.0.1:{port}")
        status, line = await refusal(serving)
    assert status == 1
    assert line.startswith(f'listener "mx": 127.0.0.1:{port} is in use by process {os.getpid()} (')
    assert line.endswith("; stop it, or set another address")


async def test_c5_a_port_that_another_gateway_shares_out_is_in_use(serving: Serving) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        serving.configure(address=f"127.0.0.1:{taken.getsockname()[1]}")
        status, line = await refusal(serving)
    assert (status, "is in use by process" in line) == (1, True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77:2525", "this machine has no address 192.0.2.77; set one of its own (see: ip address)"),
        ("no.such.host.invalid:2525", "the host name 'no.such.host.invalid' has no address"),
        ("unix:/nowhere/at/all/lmtp.sock", "the directory /nowhere/at/all of its socket is missing; create it"),
    ],
)
async def test_c5_an_address_that_cannot_be(serving: Serving, address: str, expected: str) -> None:
    serving.configure(address=address)
    status, line = await refusal(serving)
    assert status == 1
    assert line.startswith(f'listener "mx": {expected}')


@needs_root
async def test_c5_a_privileged_port_without_rights(serving: Serving) -> None:
    open_to_others(serving)
    serving.directory.chmod(0o777)
    (serving.directory / "output").write_text("")
    serving.configure(address="127.0.0.1:25")
    serving.config.chmod(0o644)
    await serving.launch(user=NOBODY, group=pwd.getpwnam(NOBODY).pw_gid, extra_groups=[])
    assert await serving.ended() == 1
    assert "may not listen on port 25 (below 1024)" in serving.output


async def test_the_state_directory_serves_one_gateway(serving: Serving, tmp_path: Path) -> None:
    await serving.start()
    (tmp_path / "second").mkdir()
    second = Serving(tmp_path / "second")
    second.state = serving.state
    second.configure()
    status, line = await refusal(second)
    assert status == 1
    assert line == (
        f"the state directory {serving.state} is in use by a running gateway (process {serving.process.pid}); "
        "stop that one, or set another server.state_dir"
    )
    assert (await serving.ask())["instance"]


async def test_c5_a_secret_that_others_can_read(serving: Serving) -> None:
    serving.state.mkdir()
    secret = serving.state / "secret"
    secret.write_text("00" * 32)
    secret.chmod(0o644)
    status, line = await refusal(serving)
    assert (status, line) == (1, f"{secret} can be read by others (mode 0644); run: chmod 600 {secret}")


async def test_a_file_where_the_state_directory_should_be(serving: Serving) -> None:
    serving.state.write_text("")
    status, line = await refusal(serving)
    assert (status, line.startswith(f"{serving.state} is there and no directory; move it away")) == (1, True)


@pytest.mark.parametrize(
    ("how", "status", "lines"),
    [
        ("refused by check", 2, ["s.toml:1: the first thing", "s.toml:2: the second thing"]),
        ("refused by smtp", 2, ["s.toml:1: the first thing", "s.toml:2: the second thing"]),
        ("failed by desk", 1, ["desk has no database"]),
        ("death of smtp", 1, ["smtp-0 ended before it was ready: exit status 9; see its own lines above"]),
        ("death of check", 1, ["the check of the configuration failed: exit status 9; see its own lines above"]),
        ("never by smtp", 1, ["smtp-0 ended before it was ready: was not ready for 1 seconds and was killed"]),
    ],
)
async def test_a_worker_that_cannot_start(serving: Serving, how: str, status: int, lines: list[str]) -> None:
    # Only who never says a word is to run out of time: the others may be slow on a busy machine.
    serving.configure(stand_in=f'start = "{how}"', server="start_seconds = 1" if how.startswith("never") else "")
    await serving.launch()
    assert await serving.ended() == status
    printed = serving.output.strip().splitlines()[-len(lines) :]
    assert [line.startswith(expected) for line, expected in zip(printed, lines, strict=True)] == [True] * len(lines)
    assert "Traceback" not in serving.output


async def test_a_bug_in_a_worker_is_one_line_of_the_log(serving: Serving) -> None:
    serving.configure(stand_in='start = "crash of smtp"')
    status, line = await refusal_with_bug(serving)
    assert (status, line) == (1, "smtp-0 ended before it was ready: exit status 1; see its own lines above")
    (critical,) = [line for line in serving.output.splitlines() if "CRITICAL" in line]
    assert critical.endswith("RuntimeError: a bug")


async def refusal_with_bug(serving: Serving) -> tuple[int, str]:
    await serving.launch()
    return await serving.ended(), serving.output.strip().splitlines()[-1]


async def test_c2_a_wrong_configuration(serving: Serving) -> None:
    serving.configure(extra="[limits]\nmax_mesage_bytes = 1")
    status, line = await refusal(serving)
    assert status == 2
    assert line.endswith('found the unknown key limits.max_mesage_bytes; did you mean "max_message_bytes"?')


async def test_a_unix_socket(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    serving.configure(address=f"unix:{path}")
    await serving.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (await serving.ask())["instance"]
    assert await serving.stop() == 0
    assert not path.exists()


async def test_a_stale_unix_socket_is_replaced(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    serving.configure(address=f"unix:{path}")
    await serving.start()
    assert (await serving.ask())["instance"]
    await serving.stop()


async def test_a_unix_socket_in_use_and_a_file_in_the_way_stay(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    serving.configure(address=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as used:
        used.bind(str(path))
        used.listen()
        status, line = await refusal(serving)
        assert (status, line) == (
            1,
            f'listener "mx": another process listens on {path}; stop it, or set another address',
        )
    path.unlink()
    path.write_text("precious")
    status, line = await refusal(serving)
    assert (status, path.read_text()) == (1, "precious")
    assert line == f'listener "mx": {path} is in the way and is no socket; remove it, or set another address'


@needs_root
async def test_c9_workers_give_up_root(serving: Serving) -> None:
    open_to_others(serving)
    serving.configure(server=f'user = "{NOBODY}"')
    await serving.start()
    greeting = await serving.ask()
    assert greeting["user"] != 0
    assert "NoNewPrivs:\t1" in status_of(greeting["process"])
    assert (serving.state / "spool").stat().st_uid == greeting["user"]
    await serving.stop()


@needs_root
async def test_c9_an_unknown_user(serving: Serving) -> None:
    serving.configure(server='user = "nobody-of-that-name"')
    status, line = await refusal(serving)
    assert status == 1
    assert line.startswith('server.user = "nobody-of-that-name": there is no such user; create it with: useradd')
