"""Which real servers tests may ask for with `@pytest.mark.server(...)`, and which Debian package brings each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

REQUIRE_VARIABLE = "STELLWERK_REQUIRE_SERVERS"
"""When it is set, a missing server fails its tests instead of skipping them."""


class Server(NamedTuple):
    """A program that a test runs, and where to get it."""

    program: str
    package: str


SERVERS: Mapping[str, Server] = {
    "postfix": Server("postfix", "postfix"),
    "smtp-source": Server("smtp-source", "postfix"),
    "smtp-sink": Server("smtp-sink", "postfix"),
    "swaks": Server("swaks", "swaks"),
    "dovecot": Server("dovecot", "dovecot-lmtpd"),
    "openssl": Server("openssl", "openssl"),
    "curl": Server("curl", "curl"),
    "knot": Server("knotd", "knot"),
    "knsupdate": Server("knsupdate", "knot-dnsutils"),
    "unbound": Server("unbound", "unbound"),
    "haproxy": Server("haproxy", "haproxy"),
    "dovecot-lmtpd": Server("/usr/lib/dovecot/lmtp", "dovecot-lmtpd"),
    "dovecot-imapd": Server("/usr/lib/dovecot/imap", "dovecot-imapd"),
    "dovecot-sqlite": Server("/usr/lib/dovecot/modules/auth/libdriver_sqlite.so", "dovecot-sqlite"),
    "dovecot-pgsql": Server("/usr/lib/dovecot/modules/auth/libdriver_pgsql.so", "dovecot-pgsql"),
    "rspamd": Server("rspamd", "rspamd"),
    "opendkim": Server("opendkim", "opendkim"),
    "promtool": Server("promtool", "prometheus"),
    "systemd-analyze": Server("systemd-analyze", "systemd"),
    "postgresql": Server("initdb", "postgresql"),
    "strace": Server("strace", "strace"),
}


SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where servers live, which is not on every user's path."""


def look_in_sbin() -> None:
    """Search `SBIN` too, behind the user's own path, for every program that this process starts or looks for."""
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([path, *(place for place in SBIN if place not in path.split(os.pathsep))])


def missing(name: str) -> str | None:
    """What to say when the server is not on this machine; None when it is. Raises KeyError for an unknown name."""
    server = SERVERS[name]
    # A module that another server loads is a file that nobody can run.
    if shutil.which(server.program, os.F_OK, path=_search_path()):
        return None
    return f"{server.program} is not installed; on Debian: apt install {server.package}"


def postgresql_program(name: str) -> str:
    """Where this program of PostgreSQL is. FileNotFoundError when there is none."""
    found = shutil.which(name, path=_search_path())
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; on Debian: apt install {SERVERS['postgresql'].package}")
    return found


def _search_path() -> str:
    """The user's path, `SBIN`, and the place of its own that Debian gives each version of PostgreSQL."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: -float(place.parent.name))
    return ":".join([os.environ.get("PATH", ""), *SBIN, *map(str, versions)])
