"""A private Dovecot: an LMTP server with TLS, and the logins that a Postfix asks it for (Dovecot SASL)."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.core.delivery.certificates import authority
from tests.integration.ports import PortReservation
from tests.integration.waiting import until
from tests.servers import REQUIRE_VARIABLE

USER, PASSWORD = "gw@example.test", "pa55 w\u00f6rd"

_CONFIGURATION = """\
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = lmtp
auth_mechanisms = plain login
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{base}/certificate.pem
ssl_key = <{base}/certificate.pem
ssl_dh =
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%u {base}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail/%n allow_all_users=yes
}}
service auth {{
  unix_listener {base}/auth {{
    mode = 0666
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class RealDovecot:
    """`lmtp` is where it takes mail, `auth` the socket for smtpd_sasl_path."""

    base: Path
    lmtp: str
    auth: Path

    @property
    def log(self) -> str:
        return (self.base / "log").read_text(errors="replace")

    def delivered(self, local: str) -> list[bytes]:
        """The messages in the Maildir of one user, LF lines, in no order."""
        return [path.read_bytes() for path in (self.base / "mail" / local / "Maildir" / "new").glob("*")]


def server_chain(path: Path) -> None:
    """Write certificate and key of mx.example.test and 127.0.0.1 into one file."""
    issued = authority().issue_cert("mx.example.test", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    path.chmod(0o600)


def _prepared(port: int) -> Path:
    base = Path(tempfile.mkdtemp(prefix="stellwerk-dovecot-", dir="/tmp"))
    base.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    (base / "mail").mkdir()
    os.chown(base / "mail", nobody.pw_uid, nobody.pw_gid)
    (base / "users").write_text(f"{USER}:{PASSWORD}\n")
    server_chain(base / "certificate.pem")
    settings = _CONFIGURATION.format(base=base, port=port, uid=nobody.pw_uid, gid=nobody.pw_gid)
    (base / "dovecot.conf").write_text(f"first_valid_uid = 1\n{settings}")
    return base


@asynccontextmanager
async def real_dovecot() -> AsyncIterator[RealDovecot]:
    """Started; ended with this."""
    if os.geteuid() != 0:
        give_up = pytest.fail if os.environ.get(REQUIRE_VARIABLE) else pytest.skip
        give_up("Dovecot with users of its own can be started by root only")
    ports = PortReservation()
    port = ports.take()
    base = _prepared(port)
    process = await asyncio.create_subprocess_exec(
        *("dovecot", "-F", "-c", str(base / "dovecot.conf")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        auth = base / "auth"
        await until(lambda: auth.exists() or process.returncode is not None, "Dovecot listens")
        assert process.returncode is None, (await process.communicate())[0]
        yield RealDovecot(base, f"127.0.0.1:{port}", auth)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
        shutil.rmtree(base)
        ports.release()
