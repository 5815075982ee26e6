"""`python -m contrib.bench`: which subjects, rows and rounds to run, in which order, and where the results go."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contrib.bench import machine, report
from contrib.bench.load import WORKLOADS, Workload, tool
from contrib.bench.measure import measure
from contrib.bench.processes import BenchError
from contrib.bench.results import Results
from contrib.bench.subjects import Subject, all_subjects

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / "var" / "bench"
RESULTS = Path(__file__).with_name("RESULTS.md")
DEFAULT_ROWS = ["4k-many", "4k-one", "10m-many", "10m-one"]


class Display:
    """Progress on standard error: a bar on a terminal, one line a measurement in a pipe."""

    def __init__(self, console: Console, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._console = console
        # drawn rarely: it runs on the cores that are being measured
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=1)
        self._task = self._bar.add_task("", total=total)

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._bar:
            yield

    def begin(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def end(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._bar.advance(self._task)


def main() -> int:
    subjects = all_subjects(STATE)
    arguments = _parse([subject.key for subject in subjects])
    if not (tool("smtp-source") and tool("smtp-sink")):
        print(
            "bench: smtp-source and smtp-sink not found; they come with Postfix: apt-get install postfix",
            file=sys.stderr,
        )
        return 1
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = [subject for subject in subjects if not arguments.only or subject.key in arguments.only]
    workloads = [workload for workload in WORKLOADS if workload.key in (arguments.rows or DEFAULT_ROWS)]
    results = Results(chosen, workloads)
    console = Console(stderr=True)
    for subject in chosen:
        console.print(f"preparing {subject.key} ...", markup=False, highlight=False)
        if reason := subject.prepare():
            results.absent[subject.key] = reason
            console.print(f"{subject.key}: not measured: {reason}", markup=False, highlight=False, soft_wrap=True)
    present = [subject for subject in chosen if subject.key not in results.absent]
    if not present:
        return 1
    facts = machine.describe(CHECKOUT, present)
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    _run(results, present, arguments.rounds, arguments.quick, console)
    if arguments.json:
        print(report.as_json(results, facts, date, arguments.rounds))
    else:
        report.show(results, Console())
    complete = not (arguments.quick or arguments.only or arguments.rows)
    if output := arguments.output or (RESULTS if complete else None):
        output.write_text(report.markdown(results, facts, date, arguments.rounds))
        console.print(f"written: {output.name}", markup=False, highlight=False)
    return 1 if results.failures else 0


def _run(results: Results, subjects: list[Subject], rounds: int, quick: bool, console: Console) -> None:
    """Every row, every round, every subject in turn, so that a slow minute of the machine meets all of them."""
    display = Display(console, len(results.workloads) * rounds * len(subjects))
    with display.shown():
        for workload in results.workloads:
            for number in range(1, rounds + 1):
                for subject in subjects:
                    what = f"{workload.key} round {number}/{rounds} {subject.key}"
                    display.begin(what)
                    display.end(f"{what}: {_measure_once(results, subject, workload, quick)}")


def _measure_once(results: Results, subject: Subject, workload: Workload, quick: bool) -> str:
    cell = (subject.key, workload.key)
    if cell in results.failures:
        return "left out, an earlier round failed"
    try:
        sample = measure(subject, workload, workload.quick_messages if quick else workload.messages, STATE)
    except BenchError as error:
        # what is written down must not tell where on this machine it happened
        results.failures[cell] = str(error).replace(f"{CHECKOUT}/", "")
        return f"FAILED: {results.failures[cell]}"
    results.samples.setdefault(cell, []).append(sample)
    return (
        f"{sample.cpu_ms_per_message:.3f} ms CPU a message, {sample.messages_per_second:.0f} messages/s, "
        f"peak {sample.peak_bytes / 1e6:.0f} MB"
    )


def _parse(subject_keys: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m contrib.bench",
        description="Measure server CPU per message beside other relays. A complete run writes RESULTS.md.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer messages: does it run at all?")
    parser.add_argument("--only", action="append", choices=subject_keys, help="this subject (may be repeated)")
    parser.add_argument("--rows", action="append", choices=[row.key for row in WORKLOADS], help="this row (repeatable)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measurements of each cell (default 3)")
    parser.add_argument("--json", action="store_true", help="results as JSON on standard output")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the Markdown report there, also of a partial run"
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds needs at least 1")
    return arguments


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
