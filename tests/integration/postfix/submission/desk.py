"""Where people log in: services of a private Postfix with TLS, and a private Dovecot that checks the logins."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from gateway.postfix_recipes.recipe import parts
from tests.integration.dovecot.instance import PASSWORD, DovecotInstance
from tests.integration.ports import PortReservation
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import PostfixInstance, checked

# As distributions have it; and Postfix completes headers of clients of its own networks, as all of these tests are.
_SERVICE = """\
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
    -o local_header_rewrite_clients=
"""
SASL = Path(__file__).parents[4] / "contrib" / "dovecot" / "submission-sasl.txt"
COLLEAGUE = "anna@example.test"
SENDER_LOGINS = f"{SENDER} sender\n{COLLEAGUE} anna\n"


@dataclass(frozen=True, slots=True)
class Desk:
    """The ports, as 587 and as 465, and the file with the authority of the certificate."""

    port: int
    wrapped_port: int
    authority: Path

    @property
    def services(self) -> str:
        return f"127.0.0.1:{self.port}/inet,127.0.0.1:{self.wrapped_port}/inet"

    async def swaks(self, sender: str, login: str, password: str = PASSWORD, *, wrapped: bool = False) -> None:
        """Send to cleo over TLS, logged in if there is a `login`. CommandFailed with the transcript when refused."""
        auth = ["--auth", "PLAIN", "--auth-user", login, "--auth-password", password] if login else []
        port, tls = (self.wrapped_port, "--tls-on-connect") if wrapped else (self.port, "--tls")
        await checked(
            "swaks", "--server", f"127.0.0.1:{port}", tls, "--tls-ca-path", str(self.authority),
            "--tls-verify", "--to", "cleo@example.test", "--helo", "desk.example.test", "--from", sender, *auth,
        )  # fmt: skip


@asynccontextmanager
async def open_desk(directory: Path, ports: PortReservation, postfix: PostfixInstance) -> AsyncIterator[Desk]:
    """Services that people may log in to, as an administrator has them before the recipe, and the list it asks for."""
    desk = Desk(ports.take(), ports.take(), directory / "authority.pem")
    _offer_tls(postfix, desk)
    printed = parts(SASL.read_text())
    dovecot = DovecotInstance(
        {"sender": 0, "anna": 0},
        printed["dovecot.conf"].replace("/var/spool/postfix", f"{postfix.base}/queue"),
    )
    private = postfix.base / "queue" / "private"
    private.mkdir(mode=0o700)
    shutil.chown(private, "postfix")
    for service in desk.services.split(","):
        await postfix.paste(printed["commands"].replace("submission/inet", service))
    (postfix.base / "etc" / "sender-logins").write_text(SENDER_LOGINS)
    try:
        await dovecot.start()
        yield desk
        assert dovecot.trouble() == []
    finally:
        await dovecot.stop()
        dovecot.remove()


def _offer_tls(postfix: PostfixInstance, desk: Desk) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(desk.authority)
    certificate.private_key_and_cert_chain_pem.write_to_path(postfix.base / "etc" / "certificate.pem")
    postfix.set(smtpd_tls_chain_files=f"{postfix.base}/etc/certificate.pem", smtpd_tls_loglevel="0")
    postfix.append(
        master_cf=f"127.0.0.1:{desk.port} inet n - n - - smtpd\n{_SERVICE}"
        f"127.0.0.1:{desk.wrapped_port} inet n - n - - smtpd\n{_SERVICE}    -o smtpd_tls_wrappermode=yes\n"
    )
