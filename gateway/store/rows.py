"""Rows as payloads: the batch function that inserts them, compiled once. What rows mean is their owner's business."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Delete, Row, Select, Table, Update, bindparam
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.store.engine import OnConflict, insert_statement
from gateway.store.group import BatchFunction

LARGEST_PIECE = 32
"""Rows or values of one statement; smaller ones have the powers of two below it, so that few texts are compiled."""
_SIZES = (1, 2, 4, 8, 16, LARGEST_PIECE)

RowValues = Mapping[str, Any]
Listing = Callable[[Connection, Sequence[Any]], list[Row[Any]]]
_Insert = Callable[[Connection, Sequence[RowValues]], object]


@functools.cache
def insert(table: Table, on_conflict: OnConflict = "error") -> BatchFunction:
    """A batch function whose payloads are rows (column name to value) of `table`; its results are None.

    The same object for the same arguments, so that rows of different messages go in one executemany. `ignore` drops a
    row that breaks any unique key, `replace` overwrites the given columns of the row with the same primary key.
    """
    compiled: dict[tuple[str, frozenset[str]], _Insert] = {}

    def insert_rows(connection: Connection, rows: Sequence[RowValues], /) -> Sequence[None]:
        start = 0
        while start < len(rows):
            columns = rows[start].keys()  # an executemany has one set of columns
            end = start + 1
            while end < len(rows) and rows[end].keys() == columns:
                end += 1
            key = (connection.dialect.name, frozenset(columns))
            if key not in compiled:
                compiled[key] = _compile(connection, table, on_conflict, list(columns))
            compiled[key](connection, rows[start:end])
            start = end
        return [None] * len(rows)

    return insert_rows


def prepared(statement: Update | Delete) -> BatchFunction:
    """A batch function that runs `statement` once for each payload (bind parameter to value); its results are None.

    Values go to the driver as they are, as with `insert`: use it for columns of plain text and numbers.
    """
    compiled: dict[str, tuple[str, list[str], dict[str, Any]]] = {}

    def run(connection: Connection, payloads: Sequence[Mapping[str, Any]], /) -> Sequence[None]:
        dialect = connection.dialect
        if dialect.name not in compiled:
            sql = statement.compile(dialect=dialect)
            order = sql.positiontup if isinstance(sql, SQLCompiler) and sql.positiontup is not None else []
            compiled[dialect.name] = str(sql), list(order), dict(sql.params)
        text, order, constants = compiled[dialect.name]
        if order:
            rows = [tuple(row[name] if name in row else constants[name] for name in order) for row in payloads]
            connection.exec_driver_sql(text, rows)
        else:
            connection.exec_driver_sql(text, [{**constants, **row} for row in payloads])
        return [None] * len(payloads)

    return run


def listing(statement: Callable[[Sequence[BindParameter[Any]]], Select[Any]]) -> Listing:
    """A query for a list of values (plain text or numbers) of any length. `statement` makes it for some parameters.

    It is compiled for a few lengths only; the last value fills up what is too many.
    """
    compiled: dict[tuple[str, int], str] = {}

    def run(connection: Connection, values: Sequence[Any]) -> list[Row[Any]]:
        dialect = connection.dialect
        found: list[Row[Any]] = []
        for start in range(0, len(values), LARGEST_PIECE):
            piece = list(values[start : start + LARGEST_PIECE])
            size = 1 << (len(piece) - 1).bit_length()
            piece += piece[-1:] * (size - len(piece))
            names = [f"v{number}" for number in range(size)]
            if (dialect.name, size) not in compiled:
                query = statement([bindparam(name) for name in names])
                compiled[dialect.name, size] = str(query.compile(dialect=dialect))
            parameters = tuple(piece) if dialect.positional else dict(zip(names, piece, strict=True))
            found += connection.exec_driver_sql(compiled[dialect.name, size], parameters)
        return found

    return run


def _compile(connection: Connection, table: Table, on_conflict: OnConflict, columns: list[str]) -> _Insert:
    if unknown := sorted(set(columns) - set(table.columns.keys())):  # SQLAlchemy would leave them out in silence
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}")
    dialect = connection.dialect
    statement = insert_statement(dialect.name, table, on_conflict, columns)
    if any(column.default is not None and column.name not in columns for column in table.columns):  # made by Python
        return lambda connection, rows: connection.execute(statement, rows)
    # Values go to the driver as they are: SQLAlchemy's way there costs as much again as SQLite's insert. And many rows
    # go in one statement: the driver gives the interpreter lock away and fights for it again for each (both measured).
    texts: dict[int, str] = {}
    order = list(columns)
    for size in _SIZES:
        sql = statement.values([dict.fromkeys(columns) for _ in range(size)]).compile(dialect=dialect)
        texts[size] = str(sql)
        if isinstance(sql, SQLCompiler) and sql.positiontup is not None:
            order = [name.removesuffix("_m0") for name in sql.positiontup[: len(columns)]]
    processors = [(name, table.columns[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order]
    keys = [column.name for column in table.primary_key] if on_conflict == "replace" else []

    def parameters(rows: Sequence[RowValues]) -> Any:
        if dialect.positional:
            return tuple([row[name] if to is None else to(row[name]) for row in rows for name, to in processors])
        return {
            f"{name}_m{number}": row[name] if to is None else to(row[name])
            for number, row in enumerate(rows)
            for name, to in processors
        }

    def run(connection: Connection, rows: Sequence[RowValues]) -> None:
        if keys:  # PostgreSQL does not replace one row twice in a statement; the last one counts
            rows = list({tuple([row[key] for key in keys]): row for row in rows}.values())
        start = 0
        while start < len(rows):
            size = min(LARGEST_PIECE, 1 << ((len(rows) - start).bit_length() - 1))
            connection.exec_driver_sql(texts[size], parameters(rows[start : start + size]))
            start += size

    return run
