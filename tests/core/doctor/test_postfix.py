"""What doctor says of the Postfix on this host: a postconf of the test's own answers for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import read
from gateway.doctor.findings import Found
from gateway.doctor.postfix import postfix_findings

CONFIG = """\
[[listener]]
name = "queue"
protocol = "lmtp"
role = "filter"
address = "{filter}"
trusted_peers = ["127.0.0.1"]
[[listener]]
name = "proxy"
role = "proxy"
address = "127.0.0.1:10025"
trusted_peers = ["127.0.0.1"]
[next_hop.mail]
kind = "maildir"
path = "{{domain}}/{{local}}"
[limits]
max_message_bytes = 1_000_000
"""
POSTCONF = """\
#!/bin/sh
case "$1" in
-P) echo '{services}' ;;
*) printf '%s\\n' 'content_filter = {content_filter}' 'smtpd_proxy_filter =' 'message_size_limit = {size}' ;;
esac
"""
BOUNCED = (
    'and listener "queue" only 1000000: what is larger is accepted and then bounced; run: postconf -e message_size_'
)
IN_VAIN = (
    'and listener "proxy" only 1000000: clients send in vain what is larger; run: postconf -e message_size_limit=1'
)


async def found(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    size: int,
    content_filter: str = "",
    services: str = "",
    address: str = "127.0.0.1:10024",
    configured: bool = True,
) -> list[Found]:
    postconf = directory / "postconf"
    postconf.write_text(POSTCONF.format(size=size, content_filter=content_filter, services=services))
    postconf.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    if configured:
        (directory / "main.cf").touch()
    monkeypatch.setenv("MAIL_CONFIG", str(directory))
    return [one async for one in postfix_findings(read(CONFIG.format(filter=address)))]


@pytest.mark.parametrize(
    ("size", "status", "text"),
    [
        (1_000_000, "ok", "Postfix takes 1000000 octets"),
        (1_000_001, "failed", f"Postfix takes 1000001 octets {BOUNCED}"),
        (0, "failed", f"Postfix takes any number of octets {BOUNCED}"),
    ],
)
async def test_front_of_a_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, status: str, text: str
) -> None:
    [(said, why)] = await found(tmp_path, monkeypatch, size=size, content_filter="stellwerk:[127.0.0.1]:10024")
    assert (said, why[: len(text)]) == (status, text)


@pytest.mark.parametrize(
    ("address", "content_filter"),
    [
        ("[::1]:10024", "stellwerk:[::1]:10024"),
        ("unix:/run/stellwerk/lmtp.sock", "stellwerk:unix:/run/stellwerk/lmtp.sock"),
        ("localhost:10024", "stellwerk:[localhost]:10024"),
    ],
)
async def test_other_ways_to_write_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, content_filter: str
) -> None:
    [(status, _)] = await found(tmp_path, monkeypatch, size=5, content_filter=content_filter, address=address)
    assert status == "ok"


async def test_front_of_a_proxy_is_only_a_matter_of_waste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = "smtp/inet/smtpd_proxy_filter = 127.0.0.1:10025"
    [(status, text)] = await found(tmp_path, monkeypatch, size=2_000_000, services=services)
    assert (status, text[: len(IN_VAIN) + 29]) == ("warning", f"Postfix takes 2000000 octets {IN_VAIN}")


async def test_postfix_that_has_nothing_to_do_with_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await found(tmp_path, monkeypatch, size=0, content_filter="amavis:[127.0.0.1]:10099") == []


async def test_host_without_postfix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("gateway.doctor.postfix._SERVERS_PATH", str(tmp_path))
    config = read(CONFIG.format(filter="127.0.0.1:10024"))
    assert [one async for one in postfix_findings(config)] == []


async def test_postfix_that_was_never_configured_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "stellwerk:[127.0.0.1]:10024"
    assert await found(tmp_path, monkeypatch, size=0, content_filter=listed) != []
    (tmp_path / "main.cf").unlink()
    assert await found(tmp_path, monkeypatch, size=0, content_filter=listed, configured=False) == []
