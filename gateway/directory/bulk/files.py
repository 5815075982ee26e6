"""CSV files as rows with line numbers, and rows as CSV (RFC 4180). What the columns mean is not known here."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gateway.directory.errors import BadValue, DirectoryError

_DELIMITERS = ",;\t"
_FORMULA = re.compile(r"[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
LONGEST_FIELD = 100_000
MOST_SHOWN = 1_000


class BadFile(DirectoryError):
    """Everything that is wrong with a file, with line numbers. Nothing was changed."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.problems = problems.first()
        shown = [f"{file}:{problem.line}: {problem.text}" for problem in self.problems]
        if more := len(problems) - len(shown):
            shown.append(f"... and {more} more")
        count = f"{len(problems)} error{'' if len(problems) == 1 else 's'}"
        super().__init__("\n".join([*shown, f"nothing was imported: {count} in {file}"]))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and on which line the row begins."""

    line: int
    text: str


@dataclass(slots=True)
class Problems:
    """What is wrong with a file: all of it is counted, and the first `MOST_SHOWN` by line are kept.

    A file of 100,000 lines may have several times as many errors, and nobody reads them.
    """

    _count: int = 0
    _kept: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return self._count

    def add(self, line: int, text: str) -> None:
        self._count += 1
        self._kept.append(Problem(line, text))
        if len(self._kept) >= 2 * MOST_SHOWN:
            self._kept = list(self.first())

    def first(self) -> tuple[Problem, ...]:
        """By line; those of one line as they were found."""
        return tuple(sorted(self._kept, key=lambda problem: problem.line)[:MOST_SHOWN])


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the file: its first line's number, and its values by column. Columns that are not there are empty."""

    number: int
    values: Mapping[str, str]


def read_lines(path: Path, columns: Sequence[str], required: Sequence[str], problems: Problems) -> Iterator[Line]:
    """The rows of a file in UTF-8, separated by commas, semicolons or tabs; empty ones are left out.

    Wrong rows are added to `problems` and left out. Raises `BadValue` when there is nothing to read rows from.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
            yield from _lines(path, file, columns, required, problems)
    except OSError as error:
        raise BadValue(f"{path} cannot be read: {error.strerror}") from None


def _lines(
    path: Path, file: IO[str], columns: Sequence[str], required: Sequence[str], problems: Problems
) -> Iterator[Line]:
    first = file.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    header = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
    _check_header(path, header, columns, required)
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 2
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(number, f"no row of CSV: {error}")
            continue
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            problems.add(number, f"found {len(row)} fields; the first line names {len(header)} columns")
            continue
        if any("\udc80" <= character <= "\udcff" for cell in row if not cell.isascii() for character in cell):
            problems.add(number, "the row is not UTF-8; save the file as UTF-8")
            continue
        yield Line(number, {name: unguarded(cell) for name, cell in zip(header, row, strict=True)})


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> None:
    expected = f"expected some of: {', '.join(columns)}"
    if not header:
        raise BadValue(f"{path}:1: there is no line with names of columns; {expected}")
    if unknown := [name for name in header if name not in columns]:
        raise BadValue(f'{path}:1: found the column "{unknown[0]}"; {expected}')
    if missing := [name for name in required if name not in header]:
        raise BadValue(f"{path}:1: there is no column {', '.join(missing)}; {expected}")
    if twice := [name for name in header if header.count(name) > 1]:
        raise BadValue(f"{path}:1: there are two columns {twice[0]}; expected each once")


def write_rows(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """A line with the columns' names, then the rows; how many. Lines end with CRLF (RFC 4180)."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([guarded(str(row[column])) for column in columns])
        count += 1
    return count


def guarded(cell: str) -> str:
    """`cell` so that no spreadsheet takes it for a formula. `unguarded` gives it back."""
    return f"'{cell}" if _FORMULA.match(cell) or _GUARDED.match(cell) else cell


def unguarded(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if _GUARDED.match(cell) else cell
