"""A database from before proofs: its domains stay what they were, and get a place among claims."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from sqlalchemy import text

from gateway.store.engine import open_engine, parse_url
from gateway.store.upgrade import CORE, Owner, upgrade


def test_domains_of_an_older_database_keep_their_state(tmp_path: Path, store_url: str) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    for number in ("r0001", "r0002"):
        (file,) = Path(str(files("gateway.store") / "migrations")).glob(f"{number}*.py")
        shutil.copy(file, folder)
    upgrade(store_url, [Owner("core", str(folder))])
    with open_engine(parse_url(store_url), "write").begin() as connection:
        connection.execute(text("INSERT INTO organisation (id, name, created_at) VALUES ('o', 'acme', 1)"))
        columns = "name, organisation_id, state, state_since, created_at"
        for name, state in (("acme.test", "trusted"), ("new.test", "unverified")):
            values = {"name": name, "state": state}
            connection.execute(text(f"INSERT INTO domain ({columns}) VALUES (:name, 'o', :state, 2, 1)"), values)
    upgrade(store_url, [CORE])
    with open_engine(parse_url(store_url), "read").connect() as connection:
        rows = connection.execute(
            text("SELECT id, name, state, state_since, takes_mail_until, announced, version FROM domain ORDER BY name")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("acme.test", "acme.test", "trusted", 2.0, None, "trusted", 0),
        ("new.test", "new.test", "unverified", 2.0, 0.0, "unverified", 0),
    ]
