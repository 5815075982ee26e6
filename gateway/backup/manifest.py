"""What a backup says about itself. Nothing here opens a file or a database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from gateway.errors import StellwerkError

FORMAT = 1
"""Of the archive. A version reads its own and older ones."""

MANIFEST = "manifest.json"
SECRET = "secret"  # noqa: S105 - the name of a file
DATABASES: Mapping[str, str] = {"sqlite": "database.sqlite3", "postgresql": "database.pgdump"}
"""The database's file in the archive, by the kind of the database."""

Database = Literal["sqlite", "postgresql"]


class BackupError(StellwerkError):
    """A backup could not be made, or is not one that can be restored."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the archive; `sha256` is hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is in a copy of the database: the revision of each owner of tables, and the epoch it was made in."""

    revisions: Mapping[str, str | None]
    epoch: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """`made_at` is POSIX seconds, `version` that of Stellwerk, `server` that of the database."""

    database: Database
    made_at: float
    version: str
    server: str
    hostname: str
    snapshot: Snapshot
    files: tuple[File, ...] = field(default_factory=tuple)
    format: int = FORMAT

    @property
    def made(self) -> str:
        """When, for a person."""
        return datetime.fromtimestamp(self.made_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")

    def file(self, name: str) -> File | None:
        return next((file for file in self.files if file.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "made": self.made}

    @classmethod
    def read(cls, text: bytes, source: str) -> Manifest:
        """Raises `BackupError`; `source` is the archive's name for a person."""
        try:
            found = json.loads(text)
            number = found["format"]
            if isinstance(number, int) and number > FORMAT:
                raise BackupError(
                    f"{source} has the format {number}, this version reads up to {FORMAT}; "
                    f"restore it with Stellwerk {found.get('version', 'of a newer version')}"
                )
            snapshot = Snapshot(dict(found["snapshot"]["revisions"]), int(found["snapshot"]["epoch"]))
            files = tuple(File(str(one["name"]), int(one["size"]), str(one["sha256"])) for one in found["files"])
            if found["database"] not in DATABASES or DATABASES[found["database"]] not in {one.name for one in files}:
                raise BackupError(f"{source}: its {MANIFEST} names no database; take another backup")
            return cls(
                found["database"], float(found["made_at"]), str(found["version"]), str(found["server"]),
                str(found["hostname"]), snapshot, files, number,
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupError(
                f"{source}: its {MANIFEST} cannot be read ({type(error).__name__}: {error}); take another backup"
            ) from None
