"""Migrations: one linear line of revisions for every owner of tables, each with a version table of its own.

Alembic runs them without alembic.ini, env.py or logging set-up; a folder of revisions is all an owner has. Which owners
there are is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import URL, Connection, inspect

from gateway.errors import StartupError, StellwerkError
from gateway.store.engine import (
    broken_references,
    create_missing,
    enter_migration,
    is_outage,
    open_engine,
    outage,
    parse_url,
    sqlite_path,
    writer_lock,
)

_VERSION_TABLE = "alembic_version_"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever has tables: the core or a plugin.

    `script_location` is where its revisions are: PACKAGE:FOLDER, PACKAGE.FOLDER or an absolute path.
    """

    name: str
    script_location: str

    @property
    def version_table(self) -> str:
        return _VERSION_TABLE + self.name


CORE = Owner("core", "gateway.store:migrations")


def owners_of(plugins: Iterable[tuple[str, str]]) -> list[Owner]:
    """The core, then the plugins with tables. `plugins`: (name, script location or "") in the order of the chain."""
    return [CORE, *(Owner(name, location) for name, location in plugins if location)]


@dataclass(frozen=True, slots=True)
class Applied:
    """A revision that upgrade() has just run."""

    owner: str
    revision: str
    description: str


@dataclass(frozen=True, slots=True)
class OwnerStatus:
    """Where an owner's tables stand. `pending` is in the order in which upgrade() would run it.

    `orphaned`: nobody owns these tables now (a removed plugin's); they are kept. `unknown`: a newer version made them.
    """

    owner: str
    current: str | None
    head: str | None
    pending: tuple[str, ...] = ()
    orphaned: bool = False
    unknown: bool = False

    @property
    def ready(self) -> bool:
        return self.orphaned or not (self.pending or self.unknown)


def upgrade(url: str, owners: Sequence[Owner]) -> list[Applied]:
    """Bring every owner to its head, in the given order, each in one transaction under the writers' lock.

    An interrupted upgrade leaves whole owners behind, never half of one, and can be run again. Creates a missing SQLite
    file. Raises StartupError, or StoreUnavailable when the database does not answer.
    """
    return _upgrade(url, [[owner] for owner in owners])


def _upgrade(url: str, groups: Iterable[Sequence[Owner]]) -> list[Applied]:
    """One transaction for each group of owners."""
    parsed = parse_url(url)
    create_missing(parsed)
    applied: list[Applied] = []
    lock = writer_lock(parsed)
    engine = open_engine(parsed, "migrate")
    try:
        for owners in groups:
            with _one_line_errors("the migration", parsed), lock, engine.connect() as connection, connection.begin():
                enter_migration(connection)
                for owner in owners:
                    with _one_line_errors(f"the migration of {owner.name}", parsed):
                        applied += _upgrade_owner(connection, owner, _line(owner))
    finally:
        lock.close()
    return applied


def status(url: str, owners: Sequence[Owner]) -> list[OwnerStatus]:
    """Every owner in the given order, then the kept tables of owners that are gone. Changes nothing."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    current: dict[str, str | None] = {}
    if path is None or path.exists():
        with (
            _one_line_errors("reading the store's revisions", parsed),
            open_engine(parsed, "read").connect() as connection,
        ):
            current = revisions(connection)
    return compare(current, owners)


def compare(current: Mapping[str, str | None], owners: Sequence[Owner]) -> list[OwnerStatus]:
    """As `status`, for revisions by owner that are known already: those of a backup."""
    return [_owner_status(owner, current.get(owner.name)) for owner in owners] + [
        OwnerStatus(name, revision, None, orphaned=True)
        for name, revision in sorted(current.items())
        if name not in {owner.name for owner in owners}
    ]


def check(url: str, owners: Sequence[Owner]) -> None:
    """StartupError, one line that says what to do, unless every owner is at its head."""
    for owner in status(url, owners):
        if owner.unknown:
            raise StartupError(_unknown(owner.owner, owner.current, [owner.head] if owner.head else []))
        if not owner.ready:
            raise StartupError(
                f"the store has {owner.owner} tables of revision {owner.current or 'none'}, expected {owner.head}; "
                "run `stellwerk db upgrade`, or set auto_upgrade = true in [store]"
            )


def prepare(url: str, owners: Sequence[Owner], *, auto_upgrade: bool = False) -> list[Applied]:
    """What `serve` does first: create an empty store, upgrade when that is allowed, and refuse a wrong revision.

    A store is created in one transaction for all owners: no other process that starts sees a part of it.
    """
    applied: list[Applied] = []
    if is_empty(url):
        applied = _upgrade(url, [owners])
    elif auto_upgrade:
        applied = upgrade(url, owners)
    check(url, owners)
    return applied


def is_empty(url: str) -> bool:
    """Whether there is no table at all (or no SQLite file yet)."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None and not path.exists():
        return True
    with _one_line_errors("reading the store's revisions", parsed), open_engine(parsed, "read").connect() as connection:
        return not inspect(connection).get_table_names()


@dataclass(frozen=True, slots=True)
class _Line:
    """An owner's revisions, oldest first."""

    scripts: ScriptDirectory
    revisions: list[Script]

    @property
    def names(self) -> list[str]:
        return [script.revision for script in self.revisions]

    def after(self, current: str | None) -> list[Script]:
        return self.revisions[self.names.index(current) + 1 if current is not None else 0 :]


def _folder(script_location: str) -> str:
    if script_location.startswith("/"):
        return script_location
    package, colon, folder = script_location.partition(":")
    if not colon:
        package, _, folder = script_location.rpartition(".")  # a folder of revisions needs no __init__.py
    return str(files(package).joinpath(folder))


def _line(owner: Owner) -> _Line:
    place = _folder(owner.script_location)
    scripts = ScriptDirectory(place, version_locations=[place])
    heads = scripts.get_heads()
    if len(heads) > 1 or len(scripts.get_bases()) > 1:
        raise StartupError(
            f"the migrations of {owner.name} in {place} are not one line: "
            f"heads {', '.join(sorted(heads))}; give each revision one predecessor"
        )
    return _Line(scripts, list(scripts.walk_revisions())[::-1])


def _upgrade_owner(connection: Connection, owner: Owner, line: _Line) -> list[Applied]:
    applied: list[Applied] = []

    def steps(heads: tuple[str, ...], context: MigrationContext) -> Iterator[MigrationStep]:
        current = heads[0] if heads else None
        if current is not None and current not in line.names:
            raise StartupError(_unknown(owner.name, current, line.names))
        for script in line.after(current):
            yield MigrationStep.upgrade_from_script(line.scripts.revision_map, script)
            applied.append(Applied(owner.name, script.revision, script.doc))

    context = MigrationContext.configure(connection, opts={"version_table": owner.version_table, "fn": steps})
    with Operations.context(context):
        context.run_migrations()
    if broken := broken_references(connection):
        raise StartupError(
            f"a migration of {owner.name} would break references in {', '.join(broken)}; nothing was changed"
        )
    return applied


def revisions(connection: Connection) -> dict[str, str | None]:
    """Owner to revision, for every version table there is."""
    return {
        table.removeprefix(_VERSION_TABLE): MigrationContext.configure(
            connection, opts={"version_table": table}
        ).get_current_revision()
        for table in inspect(connection).get_table_names()
        if table.startswith(_VERSION_TABLE)
    }


def _owner_status(owner: Owner, current: str | None) -> OwnerStatus:
    with _one_line_errors(f"the migrations of {owner.name}"):
        line = _line(owner)
    head = line.names[-1] if line.names else None
    if current is not None and current not in line.names:
        return OwnerStatus(owner.name, current, head, unknown=True)
    return OwnerStatus(owner.name, current, head, tuple(script.revision for script in line.after(current)))


def _unknown(owner: str, current: str | None, known: Sequence[str]) -> str:
    return (
        f"the store has {owner} tables of revision {current}, which this version does not know "
        f"(its newest is {known[-1] if known else 'none'}); install the newer version again or restore a backup"
    )


@contextmanager
def _one_line_errors(what: str, url: URL | None = None) -> Iterator[None]:
    """Foreign code runs inside (plugins' revisions): whatever it raises becomes one line, not a traceback."""
    try:
        yield
    except StellwerkError:
        raise
    except Exception as error:
        if url is not None and is_outage(error):
            raise outage(error, url) from error
        lines = str(error).strip().splitlines() or [""]
        raise StartupError(f"{what} failed: {type(error).__name__}: {lines[0]}") from error
