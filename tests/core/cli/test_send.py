"""`stellwerk send` against a running gateway: the dialogue, the trace, the file, the exit status."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.certificates import authority
from tests.core.cli.running import CONFIG, stellwerk
from tests.integration.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways

HELLO = Path(__file__).parents[3] / "contrib/examples/hello.eml"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    process = GatewayProcess(tmp_path, CONFIG.format(directory=tmp_path))
    await process.start()
    yield process
    await process.stop()


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_a_message_is_sent_and_its_file_is_shown(gateway: GatewayProcess, tmp_path: Path) -> None:
    ran = await stellwerk(gateway.config, "send", "--from", "bo@example.test", "--to", "anna@example.test", str(HELLO))
    assert (ran.status, ran.errors) == (0, "")
    said = [line for line in ran.output.splitlines() if line.startswith("> ")]
    assert said[1].startswith("> MAIL FROM:<bo@example.test> SIZE=")
    assert "BODY=8BITMIME" in said[1]
    assert said[2:] == ["> RCPT TO:<anna@example.test>", "> DATA", said[4], "> QUIT"]
    (stored,) = files(tmp_path / "mail")
    assert f"file {stored}" in ran.output or f"file {stored.relative_to(tmp_path)}" in ran.output
    assert stored.read_bytes().endswith(HELLO.read_bytes())


@pytest.mark.slow
async def test_a_refused_recipient_is_exit_status_1(gateway: GatewayProcess) -> None:
    ran = await stellwerk(gateway.config, "send", "--to", "nobody@example.test", str(HELLO))
    assert ran.status == 1
    assert "< 550 5.1.1" in ran.output
    assert "> DATA" not in ran.output


@pytest.mark.slow
async def test_one_of_two_recipients_is_not_everybody(gateway: GatewayProcess, tmp_path: Path) -> None:
    ran = await stellwerk(
        gateway.config, "send", "--to", "nobody@example.test", "--to", "anna@example.test", str(HELLO)
    )
    assert ran.status == 1
    assert len(files(tmp_path / "mail")) == 1


@pytest.mark.slow
async def test_lmtp_over_a_unix_socket_from_standard_input(gateway: GatewayProcess, tmp_path: Path) -> None:
    arguments = ("send", "--listener", "queue", "--to", "anna@example.test", "--to", "bo@example.test", "-")
    ran = await stellwerk(gateway.config, *arguments, stdin=b"Subject: x\n\n.\n..dots")
    assert ran.status == 0
    assert "> LHLO" in ran.output
    assert sum(line.startswith("< 250 2.0.0") and "[" in line for line in ran.output.splitlines()) >= 2
    stored = files(tmp_path / "mail")
    assert len(stored) == 2
    assert all(path.read_bytes().endswith(b"\n\n.\n..dots\n") for path in stored)


@pytest.mark.slow
async def test_an_unknown_listener_is_wrong_usage(gateway: GatewayProcess) -> None:
    ran = await stellwerk(gateway.config, "send", "--listener", "mxx", "--to", "anna@example.test", str(HELLO))
    assert ran.status == 2
    assert "there is no listener 'mxx'; there are: mx, queue" in ran.errors


async def test_no_running_gateway_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text(CONFIG.format(directory=tmp_path))
    ran = await stellwerk(config, "send", "--listener", "queue", "--to", "anna@example.test", str(HELLO))
    assert ran.status == 1
    assert ran.errors == (
        f'listener "queue" does not answer at unix:{tmp_path}/lmtp.sock (No such file or directory); '
        f"is the gateway running? Start it with: stellwerk serve --config {config}\n"
    )


@pytest.mark.slow
async def test_to_listeners_with_tls_and_behind_a_load_balancer(tmp_path: Path) -> None:
    authority().write(tmp_path)
    files_of_tls = 'tls_certificate = "gw.pem"\ntls_key = "gw.key"\n'
    text = (
        CONFIG.format(directory=tmp_path)
        + f"""\
[[listener]]
name = "required"
address = "127.0.0.1:0"
tls = "required"
{files_of_tls}
[[listener]]
name = "balanced"
address = "127.0.0.1:0"
tls = "implicit"
{files_of_tls}
proxy_protocol = true
trusted_proxies = ["127.0.0.1"]
"""
    )
    process = GatewayProcess(tmp_path, text)
    await process.start()
    try:
        for listener in ("required", "balanced"):
            ran = await stellwerk(
                process.config, "send", "--listener", listener, "--to", "anna@example.test", str(HELLO)
            )
            assert (ran.status, ran.errors) == (0, "")
            assert ("> STARTTLS" in ran.output) == (listener == "required")
        found = await stellwerk(process.config, "doctor", "--json")
        assert 'listener \\"required\\" at' in found.output
        assert "answers: for connections through a load balancer" in found.output
    finally:
        await process.stop()
    assert len(files(tmp_path / "mail")) == 2
