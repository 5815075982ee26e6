"""Postfix and the gateway prove to each other who they are: what a listener beyond loopback asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import NAME, authority
from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import message
from tests.integration.waiting import until

pytestmark = [pytest.mark.server("postfix"), pytest.mark.slow]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Certificates and keys of both, and their authority."""
    names = {"gateway": NAME, "postfix": "mx.example.test"}
    found = {key: authority().write(tmp_path, key, authority().issue(name))[0] for key, name in names.items()}
    ca = tmp_path / "authority.pem"
    ca.write_text(authority().pem)
    return {**found, "authority": ca}


def listener(config: str, files: dict[str, Path]) -> str:
    key = files["gateway"].with_suffix(".key")
    settings = f'tls = "required"\ntls_certificate = "{files["gateway"]}"\ntls_key = "{key}"\n'
    settings += f'tls_client_ca = "{files["authority"]}"\n'
    return config.replace('name = "after-queue"\n', f'name = "after-queue"\n{settings}')


def client(main_cf: str, files: dict[str, Path], *, own: bool) -> str:
    lines = [
        "lmtp_tls_security_level = secure",
        f"lmtp_tls_secure_cert_match = {NAME}",
        f"lmtp_tls_CAfile = {files['authority']}",
    ]
    if own:
        lines.append(f"lmtp_tls_cert_file = {files['postfix']}")
        lines.append(f"lmtp_tls_key_file = {files['postfix'].with_suffix('.key')}")
    return "\n".join([main_cf, *lines, ""])


async def test_both_show_their_certificates(behind_queue: StartBehindQueue, files: dict[str, Path]) -> None:
    pair = await behind_queue(
        ["anna"],
        change_config=lambda text: listener(text, files),
        change_main_cf=lambda text: client(text, files, own=True),
    )
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], RemoteClient())
    await pair.postfix.wait_until_delivered(1, "anna")
    [reply] = pair.replies()
    session = (await pair.gateway.trace(reply.transaction))["session"]
    assert (session["tls"], session["client"], session["ident"]) == ("TLSv1.3", "192.0.2.7", reply.queue_id)
    [stored] = pair.postfix.delivered("anna")
    assert b"with LMTPS (TLSv1.3 TLS_" in stored


async def test_a_postfix_without_one_keeps_its_mail(behind_queue: StartBehindQueue, files: dict[str, Path]) -> None:
    pair = await behind_queue(
        ["anna"],
        change_config=lambda text: listener(text, files),
        change_main_cf=lambda text: client(text, files, own=False),
    )
    pair.postfix.expected_trouble = [".*warning: TLS library problem: .*"]
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], RemoteClient())
    await until(lambda: pair.postfix.log_lines("status=deferred"), "the mail is deferred")
    assert "TLS failed" in pair.gateway.output
    assert pair.postfix.count_delivered() == 0
