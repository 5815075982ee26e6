"""Boards: what a process counted is read while it lives and after, and never counted twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.metrics import board
from gateway.metrics.board import Board, clear_old, read_all
from gateway.metrics.snapshot import Histogram, Snapshot

BOOT = "b00t"
MESSAGES, OPEN = "stellwerk_messages", "stellwerk_connections_open"
MX = ("mx", "accepted")


def counted(number: int, messages: float = 1, role: str = "smtp") -> Snapshot:
    snapshot = Snapshot(f"node-{BOOT}-{number}", role, 1.0)
    snapshot.put(MESSAGES, MX, messages)
    snapshot.put(OPEN, ("mx",), messages)
    return snapshot


def post(folder: Path, snapshot: Snapshot) -> Board:
    posted = Board(folder, snapshot.instance)
    posted.write(snapshot)
    return posted


def total(folder: Path) -> Snapshot:
    added = Snapshot()
    for posted in read_all(folder, BOOT):
        added.add(posted.snapshot, gauges=posted.alive)
    return added


def test_the_numbers_of_the_living_and_the_dead_add_up_and_gauges_of_the_dead_do_not(tmp_path: Path) -> None:
    first, second = post(tmp_path, counted(1, 5)), post(tmp_path, counted(2, 7))
    assert total(tmp_path).values == {MESSAGES: {MX: [12.0]}, OPEN: {("mx",): [12.0]}}
    first.close()
    assert total(tmp_path).values == {MESSAGES: {MX: [12.0]}, OPEN: {("mx",): [7.0]}}
    second.write(counted(2, 8))
    assert total(tmp_path).values[MESSAGES] == {MX: [13.0]}
    second.close()


def test_the_boards_of_many_dead_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    living = post(tmp_path, counted(0, 100))
    for number in range(1, 31):
        post(tmp_path, counted(number, 1)).close()
        assert total(tmp_path).values[MESSAGES] == {MX: [100.0 + number]}
    assert len(list(tmp_path.iterdir())) < 12
    living.close()


def test_a_board_that_could_not_be_removed_is_not_counted_twice(tmp_path: Path) -> None:
    for number in range(9):
        post(tmp_path, counted(number)).close()
    kept = (tmp_path / f"node-{BOOT}-3.board").read_bytes()
    assert total(tmp_path).values[MESSAGES] == {MX: [9.0]}
    (tmp_path / f"node-{BOOT}-3.board").write_bytes(kept)
    assert total(tmp_path).values[MESSAGES] == {MX: [9.0]}


def test_a_process_that_was_killed_leaves_what_it_counted(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from gateway.metrics.board import Board
from gateway.metrics.snapshot import Snapshot
snapshot = Snapshot("node-{BOOT}-1", "smtp", 1.0)
snapshot.put("{MESSAGES}", {MX!r}, 3)
Board(Path({str(tmp_path)!r}), snapshot.instance).write(snapshot)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[3])
    (posted,) = read_all(tmp_path, BOOT)
    assert not posted.alive
    assert posted.snapshot.values[MESSAGES] == {MX: [3.0]}


def test_what_is_half_written_or_of_another_run_is_left_out(tmp_path: Path) -> None:
    living = post(tmp_path, counted(1))
    (tmp_path / f"node-{BOOT}-2.board").write_bytes(b"\xff" * 200)
    (tmp_path / f"node-{BOOT}-3.board").write_bytes(b"")
    post(tmp_path, Snapshot("node-0ther-1", "smtp")).close()
    assert [posted.snapshot.instance for posted in read_all(tmp_path, BOOT)] == [f"node-{BOOT}-1"]
    clear_old(tmp_path, BOOT)
    assert not (tmp_path / "node-0ther-1.board").exists()
    assert (tmp_path / f"node-{BOOT}-1.board").exists()
    living.close()


def test_no_folder_is_no_board(tmp_path: Path) -> None:
    assert read_all(tmp_path / "none", BOOT) == []
    clear_old(tmp_path / "none", BOOT)


def test_a_board_has_its_room_from_the_start(tmp_path: Path) -> None:
    living = post(tmp_path, counted(1))
    size = (tmp_path / f"node-{BOOT}-1.board").stat()
    assert size.st_blocks * 512 >= board._RESERVED_BYTES
    living.write(counted(1, 2))
    assert (tmp_path / f"node-{BOOT}-1.board").stat().st_size == size.st_size
    living.close()


def test_two_processes_do_not_share_a_board(tmp_path: Path) -> None:
    living = post(tmp_path, counted(1))
    (tmp_path / f"node-{BOOT}-1.board").rename(tmp_path / f"node-{BOOT}-1.new")
    with pytest.raises(OSError, match="temporarily unavailable"):
        Board(tmp_path, f"node-{BOOT}-1")
    living.close()


def test_a_snapshot_survives_its_json() -> None:
    snapshot = counted(1, 2.5)
    lag = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        lag.observe(seconds)
    assert lag.numbers == [7.65, 2, 1, 1]
    snapshot.put("stellwerk_event_loop_lag_seconds", ("smtp",), *lag.numbers)
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


def test_of_some_gauges_the_highest_counts() -> None:
    one, other = Snapshot(), Snapshot()
    one.put("stellwerk_plugin_breaker_open", ("p", "h"), 1)
    other.put("stellwerk_plugin_breaker_open", ("p", "h"), 0)
    both = Snapshot()
    both.add(one, gauges=True)
    both.add(other, gauges=True)
    both.add(one, gauges=True)
    assert both.values["stellwerk_plugin_breaker_open"] == {("p", "h"): [1.0]}


def test_a_metric_that_nobody_declared_cannot_be_put() -> None:
    with pytest.raises(KeyError):
        Snapshot().put("stellwerk_surprise", (), 1)
