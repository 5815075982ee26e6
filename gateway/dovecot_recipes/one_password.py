"""One password for IMAP and SMTP: Dovecot's SQL passdb and userdb read this store. What they print is in templates/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import jinja2
from sqlalchemy.engine import make_url

from gateway.config import Config
from gateway.directory.people import MOST_APP_PASSWORDS

Database = Literal["sqlite", "postgresql"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class OnePassword:
    """`connect` is how Dovecot reaches the database, `account` the user of the gateway, who owns a SQLite file.

    `name` is the database on a PostgreSQL server.
    """

    database: Database = "sqlite"
    connect: str = "/var/lib/stellwerk/stellwerk.db"
    name: str = "stellwerk"
    account: str = "stellwerk"

    @classmethod
    def shipped(cls) -> dict[str, Self]:
        """By the name of its file in contrib/dovecot."""
        return {
            f"one-password-{database}.txt": cls() if database == "sqlite" else cls(database, _connect("127.0.0.1"))
            for database in DATABASES
        }

    @classmethod
    def fitting(cls, config: Config) -> Self:
        """For the store of this gateway. Its own password for a PostgreSQL server is not shown: Dovecot gets a role."""
        url = make_url(config.store.url)
        account = config.server.user or "stellwerk"
        if url.get_backend_name() == "sqlite":
            return cls("sqlite", str(Path(url.database or "").absolute()), account=account)
        name = url.database or "stellwerk"
        host = url.host or str(url.query.get("host", "/run/postgresql"))
        return cls("postgresql", _connect(host, url.port, name), name, account)

    @property
    def tries(self) -> range:
        """Dovecot compares one hash in each passdb: the person's password, then each app password."""
        return range(1 + MOST_APP_PASSWORDS)

    def render(self) -> str:
        """Parts headed by `#==== NAME ====`, as those of recipes for Postfix."""
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("gateway.dovecot_recipes"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701  configuration text, not HTML
        )
        return environment.get_template("one-password.txt.j2").render(recipe=self)


def _connect(host: str, port: int | None = None, name: str = "stellwerk") -> str:
    at = f"host={host} port={port}" if port else f"host={host}"
    return f"{at} dbname={name} user=dovecot password=CHANGE-THIS"
