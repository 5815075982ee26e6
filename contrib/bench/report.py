"""A run's results as tables for the terminal, as Markdown and as JSON. Nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from contrib.bench.load import SESSIONS
from contrib.bench.measure import Sample
from contrib.bench.results import Results, cpu, peak_mb, rate
from contrib.bench.subjects import Subject
from contrib.bench.targets import compare


@dataclass(frozen=True)
class Grid:
    """A titled table of text; the first column is a name, the others are numbers."""

    title: str
    header: list[str]
    rows: list[list[str]]


def grids(results: Results) -> list[Grid]:
    """All tables of the report, in order; tables without a single number are left out."""
    tables = [
        _values(results, "Server CPU, milliseconds per message: median (lowest-highest)", cpu, _figures),
        _ratios(results, "haraka", "CPU per message as a multiple of Haraka's"),
        _ratios(results, "aiosmtpd", "CPU per message as a multiple of aiosmtpd + aiosmtplib's"),
        _values(results, "Peak memory of the process tree, MB", peak_mb, lambda value: f"{value:.0f}", spread=False),
        _values(results, "Messages per second (the load runs on the same cores)", rate, _figures, spread=False),
    ]
    header = ["Target", "limit", "measured", "", "in this run", "measured", ""]
    rows = compare(results)
    measured = [row for row in rows if row[2] != "-"]
    return [grid for grid in tables if grid.rows] + ([Grid("Targets", header, rows)] if measured else [])


def notes(results: Results) -> list[str]:
    """One line for each subject or cell without numbers: what is missing and why."""
    titles = {subject.key: subject.title for subject in results.subjects}
    lines = [f"{titles[key]}: not measured: {reason}" for key, reason in results.absent.items()]
    rows = {workload.key: workload.title for workload in results.workloads}
    failures = results.failures.items()
    return lines + [f"FAILED: {titles[key]}, {rows[row]}: {reason}" for (key, row), reason in failures]


def markdown(results: Results, facts: dict[str, str], date: str, rounds: int) -> str:
    """RESULTS.md: tables, notes, machine, versions, `date`."""
    lines = [
        "# Benchmark results",
        "",
        f"Written by `make bench` on {date}. {SESSIONS} sessions, {rounds} interleaved rounds, all in one",
        "run on one machine; every message was counted at the next hop. How to read this: [README.md](README.md).",
    ]
    for grid in grids(results):
        lines += ["", f"## {grid.title}", "", _line(grid.header), _line(["---"] + ["---:"] * (len(grid.header) - 1))]
        lines += [_line(row) for row in grid.rows]
    if missing := notes(results):
        lines += ["", "## Without numbers", "", *(f"- {line}" for line in missing)]
    lines += ["", "## Machine and versions", "", "| | |", "|---|---|"]
    lines += [_line([name, value]) for name, value in facts.items()]
    return "\n".join(lines) + "\n"


def as_json(results: Results, facts: dict[str, str], date: str, rounds: int) -> str:
    """Everything, single rounds included."""
    cells = [
        {
            "subject": subject.key,
            "workload": workload.key,
            "failure": results.failures.get((subject.key, workload.key)),
            "rounds": [
                {
                    "messages": sample.messages,
                    "seconds": round(sample.seconds, 4),
                    "cpu_ms_per_message": round(sample.cpu_ms_per_message, 5),
                    "messages_per_second": round(sample.messages_per_second, 2),
                    "peak_bytes": sample.peak_bytes,
                    "peak_bytes_largest_process": sample.peak_bytes_largest,
                }
                for sample in results.samples.get((subject.key, workload.key), [])
            ],
        }
        for workload in results.workloads
        for subject in results.subjects
        if subject.key not in results.absent
    ]
    document = {"date": date, "rounds": rounds, "sessions": SESSIONS, "machine": facts, "absent": results.absent}
    return json.dumps(document | {"cells": cells}, indent=2)


def show(results: Results, console: Console) -> None:
    """Tables on a terminal, Markdown rows in a pipe."""
    for grid in grids(results):
        if console.is_terminal:
            table = Table(title=grid.title, title_justify="left")
            for number, name in enumerate(grid.header):
                table.add_column(name, justify="right" if number else "left")
            for row in grid.rows:
                table.add_row(*row)
            console.print(table)
        else:
            console.out("\n".join([f"\n{grid.title}", _line(grid.header), *(_line(row) for row in grid.rows)]))
    for line in notes(results):
        console.print(line, style="bold red" if line.startswith("FAILED") else None, markup=False, soft_wrap=True)


def _values(
    results: Results,
    title: str,
    value: Callable[[Sample], float],
    form: Callable[[float], str],
    *,
    spread: bool = True,
) -> Grid:
    def cell(subject: Subject, workload: str) -> str:
        found = results.spread(subject.key, workload, value)
        if subject.key in results.absent:
            return "not measured"
        if found is None:
            return "failed" if (subject.key, workload) in results.failures else "-"
        return form(found.middle) + (f" ({form(found.low)}-{form(found.high)})" if spread else "")

    return _grid(results, title, cell, results.subjects)


def _ratios(results: Results, against: str, title: str) -> Grid:
    def cell(subject: Subject, workload: str) -> str:
        ratio = results.ratio(subject.key, against, workload)
        return "-" if ratio is None else f"{ratio:.2f}"

    measured = any(results.spread(against, workload.key, cpu) for workload in results.workloads)
    others = [
        subject
        for subject in results.subjects
        if subject.key != against and subject.key not in results.absent and subject.relays
    ]
    return _grid(results, title, cell, others if measured else [])


def _grid(results: Results, title: str, cell: Callable[[Subject, str], str], subjects: list[Subject]) -> Grid:
    rows = [[subject.title, *(cell(subject, workload.key) for workload in results.workloads)] for subject in subjects]
    return Grid(title, ["", *(workload.title for workload in results.workloads)], rows)


def _figures(value: float) -> str:
    """Three significant figures without an exponent."""
    decimals = next((decimals for bound, decimals in ((1, 3), (10, 2), (100, 1)) if value < bound), 0)
    return f"{value:.{decimals}f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
