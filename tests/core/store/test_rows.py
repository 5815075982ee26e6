"""Inserting rows: few statements, conflicts, converters, and the same on both dialects."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, Table, Text, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from gateway.store.engine import OnConflict, insert_statement, open_engine, parse_url
from gateway.store.rows import insert, listing
from gateway.store.schema import metadata
from tests.core.store.conftest import Database, Statements

POSTGRESQL = open_engine(parse_url("postgresql://gateway@db.example.test/mail"), "write")
own_tables = MetaData()
thing = Table(
    "thing",
    own_tables,
    Column("id", Text, primary_key=True),
    Column("code", Text, unique=True),
    Column("done", Boolean),
    Column("content", LargeBinary),
    Column("at", Float),
    Column("made", Integer, default=7),
)


def stored(
    database: Database, rows: list[dict[str, Any]], on_conflict: OnConflict = "error"
) -> tuple[list[tuple[Any, ...]], Statements]:
    """The table after `rows` were inserted in one call, and what the driver was given."""
    engine = open_engine(parse_url(database.url), "write")
    statements = Statements()
    with engine.begin() as connection:
        own_tables.create_all(connection)
        statements.watch(engine)
        assert list(insert(thing, on_conflict)(connection, rows)) == [None] * len(rows)
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(select(thing).order_by(thing.c.id))], statements


def test_equal_arguments_give_the_same_function() -> None:
    assert insert(thing) is insert(thing)
    assert insert(thing, "ignore") is not insert(thing, "replace")


def test_values_are_converted_as_sqlalchemy_would(database: Database) -> None:
    rows, statements = stored(
        database,
        [
            {"id": "a", "done": True, "content": b"\x00\xff", "at": 1, "made": 1},
            {"id": "b", "done": None, "content": None, "at": None, "made": 2},
        ],
    )
    assert rows == [("a", None, True, b"\x00\xff", 1.0, 1), ("b", None, None, None, None, 2)]
    assert statements.executed[0] == ("INSERT INTO thing", 2)


def test_defaults_made_by_python_are_filled_in(database: Database) -> None:
    rows, _ = stored(database, [{"id": "a"}, {"id": "b"}])
    assert [row[-1] for row in rows] == [7, 7]


def test_rows_with_different_columns_are_inserted_in_runs(database: Database) -> None:
    rows, statements = stored(
        database,
        [{"id": "a", "made": 1}, {"id": "b", "made": 2}, {"id": "c", "made": 3, "code": "x"}, {"id": "d", "made": 4}],
    )
    assert [(row[0], row[1]) for row in rows] == [("a", None), ("b", None), ("c", "x"), ("d", None)]
    assert [count for _, count in statements.executed[:3]] == [2, 1, 1]


@pytest.mark.parametrize(
    ("count", "pieces"), [(1, [1]), (3, [2, 1]), (32, [32]), (37, [32, 4, 1]), (70, [32, 32, 4, 2])]
)
def test_many_rows_go_in_few_statements(database: Database, count: int, pieces: list[int]) -> None:
    rows, statements = stored(database, [{"id": f"{n:03}", "at": float(n), "made": n} for n in range(count)])
    assert [(row[0], row[4], row[5]) for row in rows] == [(f"{n:03}", float(n), n) for n in range(count)]
    assert [size for words, size in statements.executed if words == "INSERT INTO thing"] == pieces


def test_the_last_of_equal_rows_is_what_stays(database: Database) -> None:
    rows, _ = stored(database, [{"id": "a", "made": n} for n in range(3)] + [{"id": "b", "made": 9}], "replace")
    assert [(row[0], row[-1]) for row in rows] == [("a", 2), ("b", 9)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 33, 100])
def test_listing_finds_each_value_once(database: Database, count: int) -> None:
    stored(database, [{"id": f"{n:03}", "made": n} for n in range(100)])
    find = listing(lambda names: select(thing.c.id, thing.c.made).where(thing.c.id.in_(names)))
    with open_engine(parse_url(database.url), "write").begin() as connection:
        found = find(connection, [f"{n:03}" for n in range(count)])
    assert sorted((row.id, row.made) for row in found) == [(f"{n:03}", n) for n in range(count)]


def test_a_column_that_the_table_does_not_have_is_an_error(database: Database) -> None:
    with pytest.raises(ValueError, match="table thing has no column nmae"):
        stored(database, [{"id": "a", "nmae": "x"}])


@pytest.mark.parametrize(
    ("on_conflict", "expected"),
    [
        ("ignore", [("a", "x", 1), ("b", "y", 2)]),
        ("replace", [("a", "z", 1), ("b", "y", 2)]),
    ],
)
def test_conflicts(database: Database, on_conflict: OnConflict, expected: list[tuple[Any, ...]]) -> None:
    stored(database, [{"id": "a", "code": "x", "made": 1}, {"id": "b", "code": "y", "made": 2}])
    rows, _ = stored(
        database, [{"id": "a", "code": "z"} | ({"made": 1} if on_conflict == "replace" else {})], on_conflict
    )
    assert [(row[0], row[1], row[-1]) for row in rows] == expected


def test_ignore_looks_at_every_unique_key(database: Database) -> None:
    stored(database, [{"id": "a", "code": "x"}])
    rows, _ = stored(database, [{"id": "b", "code": "x"}], "ignore")
    assert [row[0] for row in rows] == ["a"]
    with pytest.raises(IntegrityError):
        stored(database, [{"id": "b", "code": "x"}])


@pytest.mark.parametrize(
    ("on_conflict", "ending"),
    [
        ("error", "VALUES (%(id)s::VARCHAR, %(made)s::INTEGER)"),
        ("ignore", "ON CONFLICT DO NOTHING"),
        ("replace", "ON CONFLICT (id) DO UPDATE SET made = excluded.made"),
    ],
)
def test_the_same_statements_on_postgresql(on_conflict: OnConflict, ending: str) -> None:
    statement = insert_statement("postgresql", thing, on_conflict, ["id", "made"])
    compiled = statement.compile(dialect=POSTGRESQL.dialect, column_keys=["id", "made"])
    assert str(compiled).endswith(ending)


def test_the_core_s_tables_can_be_made_on_postgresql() -> None:
    made = [str(CreateTable(table).compile(dialect=POSTGRESQL.dialect)) for table in metadata.sorted_tables]
    assert "PRIMARY KEY (entry_id, recipient, position)" in "".join(made)
