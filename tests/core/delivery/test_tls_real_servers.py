"""TLS, logins and chunks with servers that others wrote: Postfix with Dovecot's logins, Dovecot's LMTP, OpenSSL."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.delivery.client_tls import ClientTls
from gateway.delivery.login import Login
from gateway.delivery.transport import Outcome
from gateway.mail.reply import NEXT_HOP_DOWN, NEXT_HOP_MISCONFIGURED, NEXT_HOP_WITHOUT_TLS
from tests.core.delivery.batches import ANNA, BO, MESSAGE, batch, next_hop, soon, spilled
from tests.core.delivery.certificates import ca_file
from tests.core.delivery.real_dovecot import PASSWORD, USER, real_dovecot, server_chain
from tests.core.delivery.real_postfix import trusting_postfix
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.waiting import until

LARGE = b"Subject: large\r\n\r\n" + (b"." + os.urandom(35).hex().encode() + b"\r\n.\r\n") * 40_000


def password_file(directory: Path, password: str) -> Path:
    path = directory / "password"
    path.write_text(password)
    path.chmod(0o600)
    return path


@asynccontextmanager
async def smart_host() -> AsyncIterator[PostfixInstance]:
    """A Postfix that takes mail only under TLS and from who has logged in."""
    async with real_dovecot() as dovecot, trusting_postfix() as postfix:
        chain = postfix.base / "etc" / "chain.pem"
        server_chain(chain)
        postfix.set(
            smtpd_tls_chain_files=str(chain),
            smtpd_tls_security_level="may",
            smtpd_tls_auth_only="yes",
            smtpd_tls_loglevel="1",
            smtpd_sasl_auth_enable="yes",
            smtpd_sasl_type="dovecot",
            smtpd_sasl_path=str(dovecot.auth),
            smtpd_relay_restrictions="permit_sasl_authenticated, reject",
        )
        await postfix.reload()
        yield postfix


@pytest.mark.server("postfix", "dovecot")
async def test_a_smart_host_with_tls_login_and_chunks(tmp_path: Path) -> None:
    tls = ClientTls(required=True, ca_file=ca_file(tmp_path), name="mx.example.test")
    login = Login(USER, password_file(tmp_path, PASSWORD))
    async with smart_host() as postfix:
        address = f"127.0.0.1:{postfix.smtp_port}"
        async with next_hop(address, tls=tls, login=login, connections=1) as hop:
            for data in (MESSAGE, LARGE, MESSAGE):
                (result,) = await hop.deliver(batch(spilled(data)), deadline=soon(60))
                assert result.outcome is Outcome.DONE, result
                assert "(TLSv1.3 TLS_" in result.where
            (inspection,) = await hop.inspect()
            assert (inspection.problem, inspection.capabilities.chunking) == ("", True)
        await postfix.wait_until_delivered(3, "anna")
        bodies = [text.partition(b"\n\n")[2].rstrip(b"\n") for text in postfix.delivered("anna")]
        wanted = [data.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n").rstrip(b"\n") for data in (MESSAGE, LARGE)]
        assert sorted(bodies) == sorted([wanted[0], *wanted])
        assert len(postfix.log_lines(rf"sasl_method=PLAIN, sasl_username={USER}")) == 3
        assert len(postfix.log_lines(r"TLS connection established from")) == 2


@pytest.mark.server("postfix", "dovecot")
async def test_a_smart_host_that_does_not_let_us_in(tmp_path: Path) -> None:
    """Never a word against the sender: it is our configuration that is wrong."""
    trusted = ClientTls(required=True, ca_file=ca_file(tmp_path))
    async with smart_host() as postfix:
        postfix.expected_trouble = ["SASL PLAIN authentication failed", "SSL_accept error", "TLS library problem"]
        cases: list[tuple[dict[str, Any], Any]] = [
            ({"tls": trusted, "login": Login(USER, password_file(tmp_path, "wrong"))}, NEXT_HOP_MISCONFIGURED),
            ({"login": Login(USER, tmp_path / "password")}, NEXT_HOP_MISCONFIGURED),
            ({"tls": ClientTls(required=True)}, NEXT_HOP_WITHOUT_TLS),
            ({"tls": ClientTls(required=True, ca_file=trusted.ca_file, name="elsewhere.test")}, NEXT_HOP_WITHOUT_TLS),
        ]
        for settings, reply in cases:
            async with next_hop(f"127.0.0.1:{postfix.smtp_port}", **settings) as hop:
                (result,) = await hop.deliver(batch(), deadline=soon(60))
                assert (result.outcome, result.reply) == (Outcome.DEFERRED, reply), result
        await postfix.stop()
        postfix.set(smtpd_tls_security_level="encrypt")
        await postfix.start()
        async with next_hop(f"127.0.0.1:{postfix.smtp_port}") as hop:
            (result,) = await hop.deliver(batch(), deadline=soon(60))
            assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED), "530 is about us"
        assert postfix.count_delivered() == 0


@pytest.mark.server("dovecot")
@pytest.mark.parametrize("chunking", ["never", "always"])
async def test_dovecot_takes_lmtp_under_tls(tmp_path: Path, chunking: str) -> None:
    tls = ClientTls(required=True, ca_file=ca_file(tmp_path))
    async with real_dovecot() as dovecot:
        async with next_hop(dovecot.lmtp, protocol="lmtp", tls=tls, chunking=chunking, connections=1) as hop:
            for data in (MESSAGE, LARGE):
                results = await hop.deliver(batch(spilled(data), ANNA, BO), deadline=soon(60))
                assert [result.outcome for result in results] == [Outcome.DONE] * 2, (results, dovecot.log)
                assert "verified" in results[0].where
        for local in ("anna", "bo"):
            bodies = {text.partition(b"\n\n")[2] for text in dovecot.delivered(local)}
            assert bodies == {data.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") for data in (MESSAGE, LARGE)}


@asynccontextmanager
async def openssl(directory: Path, *options: str) -> AsyncIterator[str]:
    """`openssl s_server`, which speaks TLS at once and no SMTP."""
    server_chain(directory / "chain.pem")
    ports = PortReservation()
    port = ports.take()
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-quiet", "-naccept", "3", "-accept", f"127.0.0.1:{port}"),
        *("-cert", str(directory / "chain.pem"), *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        ports.release()
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.server("openssl")
@pytest.mark.parametrize(
    ("options", "reply", "said"),
    [
        (["-tls1_2"], NEXT_HOP_DOWN, "it did not answer in time"),  # agreed; but then nobody greets
        (["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"], NEXT_HOP_WITHOUT_TLS, "TLS: "),
        (["-Verify", "1", "-verify_return_error"], NEXT_HOP_DOWN, ""),
    ],
)
async def test_n9_tls_of_openssl_itself(tmp_path: Path, options: list[str], reply: object, said: str) -> None:
    tls = ClientTls(required=True, implicit=True, ca_file=ca_file(tmp_path))
    settings = {"connect_timeout_seconds": 1, "cool_down_seconds": 0.01}
    async with openssl(tmp_path, *options) as address, next_hop(address, tls=tls, **settings) as hop:

        async def listens() -> bool:
            return "refused" not in (await hop.deliver(batch(), deadline=soon()))[0].where

        await until(listens, "openssl listens")
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, reply), result
    assert said in result.where
