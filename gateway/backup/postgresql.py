"""PostgreSQL: pg_dump, pg_restore and psql, with the password in their environment. Nothing is decided here."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from gateway.backup.archive import Progress
from gateway.backup.manifest import BackupError
from gateway.store.engine import parse_url

_POLL_SECONDS = 0.2
# Entries of a dump that are the database's and not ours: whoever made the database made them.
_NOT_OURS = ("SCHEMA", "EXTENSION", "COMMENT - SCHEMA", "COMMENT - EXTENSION", "ACL - SCHEMA")

# All at once and first, so that nothing later waits for anybody. A writer that has one table and wants another is let
# through: what is locked is given up before the server would look for a deadlock (deadlock_timeout, 1 s), which might
# end the writer's transaction.
_LOCK_ALL = """\
DO $lock$ DECLARE
  names text;
  latest timestamptz := clock_timestamp() + interval '30 s';
BEGIN
  SELECT string_agg(format('%I.%I', current_schema(), relname), ', ' ORDER BY relname) INTO names
    FROM pg_catalog.pg_class
    WHERE relnamespace = current_schema()::pg_catalog.regnamespace AND relkind IN ('r', 'p');
  PERFORM set_config('lock_timeout', '500ms', true);
  WHILE names IS NOT NULL LOOP
    BEGIN
      EXECUTE 'LOCK TABLE ' || names || ' IN ACCESS EXCLUSIVE MODE';
      EXIT;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      IF clock_timestamp() > latest THEN RAISE; END IF;
      PERFORM pg_sleep(0.1 * random());
    END;
  END LOOP;
END $lock$;
"""

# Tables that the dump does not know would stand in the way of a later migration.
_DROP_ALL = """\
DO $drop$ DECLARE found record; BEGIN
  FOR found IN SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
      WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
    FROM pg_catalog.pg_class c WHERE c.relnamespace = current_schema()::pg_catalog.regnamespace
      AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP %s IF EXISTS %I.%I CASCADE', found.kind, current_schema(), found.relname); END LOOP;
END $drop$;
"""


def dump(url: str, target: Path, snapshot: str, progress: Progress) -> None:
    """The whole database as the exported `snapshot` saw it; its writers go on. Raises `BackupError`."""
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-password", f"--snapshot={snapshot}"]
    with _started([*command, f"--file={target}", *where(url)], environment(url)) as (process, said):
        while True:
            try:
                process.wait(_POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                progress("dumping the database", target.stat().st_size if target.exists() else 0, 0)
        if process.returncode:
            raise BackupError(f"the database could not be dumped: {_words(said)}")


def check(dumped: Path) -> None:
    """Raises `BackupError` unless pg_restore can read the list of what is in the dump."""
    _contents(dumped)


def put_back(url: str, dumped: Path, before: Iterable[str], after: Iterable[str], progress: Progress) -> None:
    """Make the dump the content of the database, in one transaction with the statements before and after it.

    All that stands in the connection's schema goes. Clients of the database wait, and see the new content after it.
    If anything fails, nothing has changed. Raises `BackupError`.
    """
    with tempfile.TemporaryDirectory() as directory:
        wanted = Path(directory) / "list"
        wanted.write_text(_ours(_contents(dumped)))
        script = ["pg_restore", "--no-owner", "--clean", "--if-exists", f"--use-list={wanted}", "--file=-", str(dumped)]
        # No --single-transaction: if this process died psql would take the end of its input for a good one and commit.
        psql = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-", *where(url)]
        with _started(psql, environment(url), stdin=subprocess.PIPE) as (client, client_said):
            assert client.stdin is not None
            try:
                client.stdin.write(f"BEGIN;\n{_LOCK_ALL}".encode())
                _write(client.stdin, before)
                client.stdin.write(_DROP_ALL.encode())
                with _started(script, os.environ, stdout=subprocess.PIPE) as (reader, reader_said):
                    assert reader.stdout is not None
                    _pump(reader.stdout, client.stdin, progress)
                    if reader.wait():
                        raise BackupError(f"the dump could not be read: {_words(reader_said)}; nothing was changed")
                # The dump's script has set it to nothing.
                _write(client.stdin, ["RESET search_path", *after, "COMMIT"])
                client.stdin.close()
            except BrokenPipeError:
                pass  # psql has said why
            if client.wait():
                raise BackupError(_refused(_words(client_said)))


def _pump(source: IO[bytes], target: IO[bytes], progress: Progress) -> None:
    done = 0
    while piece := source.read(1 << 16):
        target.write(piece)
        done += len(piece)
        progress("replacing the database", done, 0)


def _write(target: IO[bytes], statements: Iterable[str]) -> None:
    target.write("".join(f"{statement};\n" for statement in statements).encode())


def _contents(dumped: Path) -> str:
    with _started(["pg_restore", "--list", str(dumped)], os.environ, stdout=subprocess.PIPE) as (process, said):
        assert process.stdout is not None
        text = process.stdout.read().decode()
        if process.wait():
            raise BackupError(f"the dump could not be read: {_words(said)}; take another backup")
        return text


def _ours(contents: str) -> str:
    """The lines of a dump's list ("215; 1259 16385 TABLE public job stellwerk") without the database's own things."""

    def kept(line: str) -> bool:
        fields = line.split(maxsplit=3)
        return len(fields) < 4 or line.startswith(";") or not fields[3].startswith(_NOT_OURS)

    return "".join(f"{line}\n" for line in contents.splitlines() if kept(line))


def where(url: str) -> list[str]:
    """The database for a command line, which everybody on this machine can read: without the password."""
    parsed = parse_url(url)
    bare = URL.create(
        "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database,
        {key: value for key, value in parsed.query.items() if key != "password"},
    )  # fmt: skip
    return [f"--dbname={bare.render_as_string(hide_password=False)}"]


def environment(url: str) -> Mapping[str, str]:
    parsed = parse_url(url)
    password = parsed.password or parsed.query.get("password")
    return os.environ | ({"PGPASSWORD": str(password)} if password else {})


@contextmanager
def _started(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The program, and the file with what it says; it is gone at the end. Raises `BackupError` when it is missing."""
    program = shutil.which(command[0])
    if program is None:
        raise BackupError(
            f"{command[0]} is not installed, and a PostgreSQL database needs it; on Debian: "
            "apt install postgresql-client (its version must not be older than the server's)"
        )
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - a program of PostgreSQL with arguments made here
            [program, *command[1:]],
            env=dict(environment) | {"LC_ALL": "C.UTF-8"},
            stdin=stdin,
            stdout=stdout,
            stderr=said,
        )
        try:
            yield process, said
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)


def _close(pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # something was still to be written, and nobody is left to read it
        pipe.close()


def _words(said: IO[bytes]) -> str:
    """What the program said first that is an error."""
    said.seek(0)
    lines = said.read(65_536).decode(errors="replace").splitlines()
    first = next(
        (line for line in lines if "error" in line.lower() or "FATAL" in line), lines[0] if lines else "it said nothing"
    )
    return first.strip()


def _refused(words: str) -> str:
    hint = ""
    if "role" in words and "does not exist" in words:
        hint = "; the backup gives that role rights: create it first (createuser)"
    elif "lock timeout" in words or "deadlock" in words:
        hint = "; somebody holds the tables: restore again, or stop the gateway first"
    return f"the database could not be replaced, and is as it was: {words}{hint}"
