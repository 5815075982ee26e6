"""Rows as payloads: the batch function that inserts them, compiled once. What rows mean is their owner's business."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Table, Update
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.store.engine import OnConflict, insert_statement
from gateway.store.group import BatchFunction

Row = Mapping[str, Any]
_Insert = Callable[[Connection, Sequence[Row]], object]


@functools.cache
def insert(table: Table, on_conflict: OnConflict = "error") -> BatchFunction:
    """A batch function whose payloads are rows (column name to value) of `table`; its results are None.

    The same object for the same arguments, so that rows of different messages go in one executemany. `ignore` drops a
    row that breaks any unique key, `replace` overwrites the given columns of the row with the same primary key.
    """
    compiled: dict[tuple[str, frozenset[str]], _Insert] = {}

    def insert_rows(connection: Connection, rows: Sequence[Row], /) -> Sequence[None]:
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


def _compile(connection: Connection, table: Table, on_conflict: OnConflict, columns: list[str]) -> _Insert:
    if unknown := sorted(set(columns) - set(table.columns.keys())):  # SQLAlchemy would leave them out in silence
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}")
    dialect = connection.dialect
    statement = insert_statement(dialect.name, table, on_conflict, columns)
    sql = statement.compile(dialect=dialect, column_keys=columns)
    made_by_python = [column for column in table.columns if column.default is not None and column.name not in columns]
    if made_by_python or not isinstance(sql, SQLCompiler):
        return lambda connection, rows: connection.execute(statement, rows)
    # Values go to the driver as they are: SQLAlchemy's way there costs as much again as SQLite's insert (measured).
    text = sql.string
    order = sql.positiontup if sql.positiontup is not None else columns
    processors = [
        (i, table.columns[name].type.dialect_impl(dialect).bind_processor(dialect)) for i, name in enumerate(order)
    ]
    converters = [(i, convert) for i, convert in processors if convert is not None]

    def values(row: Row) -> list[Any]:
        found = [row[name] for name in order]
        for position, convert in converters:
            found[position] = convert(found[position])
        return found

    if sql.positiontup is None:
        return lambda connection, rows: connection.exec_driver_sql(
            text, [dict(zip(order, values(row), strict=True)) for row in rows]
        )
    return lambda connection, rows: connection.exec_driver_sql(text, [tuple(values(row)) for row in rows])
