"""What a process counts while mail goes through it, and what it costs a message."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.delivery.transport import Outcome
from gateway.mail.envelope import MailParameters
from gateway.mail.reply import TOO_MANY_ERRORS, Reply
from gateway.mail.transaction import Transaction
from gateway.metrics.board import directory, read_all
from gateway.metrics.process import ProcessMetrics, start_metrics
from gateway.metrics.snapshot import Snapshot
from gateway.smtp.counts import ListenerCounts
from tests.core.gateways import HELLO, plugin, running, session
from tests.databases import locked, url_of

ANNA, BO = "anna@example.test", "bo@example.test"


def of(snapshot: Snapshot, name: str, *labels: str) -> float:
    return snapshot.values[name][labels][0]


async def test_messages_and_recipients_are_counted_by_what_they_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        gateway.mail.answer(BO, Outcome.REFUSED, Outcome.DEFERRED)
        await gateway.send(ANNA)
        await gateway.send(ANNA, BO, listener="lmtp")
        await gateway.send(BO)
        refused = await gateway.begin(listener="mx")
        gateway.gateway.pipeline.refused(refused, Reply(552, "5.3.4", "too big"), 1000)
        abandoned = await gateway.begin(ANNA)
        abandoned.events.append({"event": "rcpt", "recipient": "x@example.test", "reply": "550 5.1.1 no"})
        gateway.gateway.pipeline.abandon(abandoned)
        found = ProcessMetrics(gateway.gateway).gather()
    messages = {labels: numbers[0] for labels, numbers in found.values["stellwerk_messages"].items()}
    assert {labels for labels, number in messages.items() if number} == {
        ("mx", "accepted"),
        ("lmtp", "accepted"),
        ("mx", "deferred"),
        ("mx", "refused"),
        ("mx", "abandoned"),
    }
    assert of(found, "stellwerk_recipients", "lmtp", "accepted") == 1
    assert of(found, "stellwerk_recipients", "lmtp", "refused") == 1
    assert of(found, "stellwerk_recipients", "mx", "deferred") == 1
    assert of(found, "stellwerk_recipients", "mx", "refused") == 1
    assert of(found, "stellwerk_message_bytes", "mx") == 2 * len(HELLO) + 1000
    seconds = found.values["stellwerk_transaction_seconds"][("mx",)]
    assert sum(seconds[1:]) == 3
    assert of(found, "stellwerk_next_hop_copies", "mail", "done") == 2
    assert of(found, "stellwerk_next_hop_copies", "mail", "refused") == 1
    assert of(found, "stellwerk_next_hop_copies", "mail", "deferred") == 1
    assert found.values["stellwerk_next_hop_transaction_seconds"][("mail",)][1] == 3
    assert of(found, "stellwerk_store_commit_seconds", "smtp") > 0
    assert of(found, "stellwerk_store_writes", "smtp") >= 3


FAILS = """
@hookimpl
def message_received(self, message):
    raise RuntimeError("broken")
@hookimpl
def smtp_mail(self, sender):
    return None
"""


async def test_a_plugins_calls_failures_and_breaker_are_counted(tmp_path: Path) -> None:
    plugin(tmp_path, "fails", FAILS)
    async with running(tmp_path, "fails") as gateway:
        for _ in range(6):
            await gateway.send(ANNA)
        found = ProcessMetrics(gateway.gateway).gather()
    received, mail = ("fails", "message_received"), ("fails", "smtp_mail")
    assert of(found, "stellwerk_plugin_calls", *received) == 5
    assert of(found, "stellwerk_plugin_failures", *received) == 6
    assert of(found, "stellwerk_plugin_breaker_open", *received) == 1
    assert of(found, "stellwerk_plugin_calls", *mail) == 6
    assert of(found, "stellwerk_plugin_failures", *mail) == 0
    assert of(found, "stellwerk_plugin_breaker_open", *mail) == 0
    assert of(found, "stellwerk_plugin_seconds", *mail) > 0


async def test_s2_a_store_that_does_not_commit_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        with locked(url_of(tmp_path)):
            assert (await gateway.send(ANNA)).code == 451
            found = ProcessMetrics(gateway.gateway).gather()
        assert of(found, "stellwerk_store_failing", "smtp") == 1
        assert of(found, "stellwerk_messages", "mx", "deferred") == 1
        await gateway.send(ANNA)
        assert of(ProcessMetrics(gateway.gateway).gather(), "stellwerk_store_failing", "smtp") == 0


async def test_the_board_is_written_at_once_and_once_more_at_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        gateway.gateway.config.server.state_dir.mkdir()
        folder, boot = directory(gateway.gateway.config), gateway.gateway.identity.boot
        task = start_metrics(gateway.gateway)
        while not read_all(folder, boot):  # noqa: ASYNC110 - a file is looked at
            await asyncio.sleep(0.01)
        await gateway.send(ANNA)
        task.cancel()
        await asyncio.wait({task})
        (posted,) = read_all(folder, boot)
    assert of(posted.snapshot, "stellwerk_messages", "mx", "accepted") == 1
    assert not posted.alive


async def test_without_a_place_for_the_board_mail_goes_on_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as gateway:
        metrics = ProcessMetrics(gateway.gateway)  # the state directory is not there
        metrics._post(metrics.gather())
        metrics._post(metrics.gather())
        assert (await gateway.send(ANNA)).code == 250
    told = [record.getMessage() for record in caplog.records if record.name == "stellwerk.metrics"]
    assert len(told) == 1
    assert "cannot be written" in told[0]


def test_a_listener_counts_what_it_lets_in_and_breaks_off() -> None:
    counts = ListenerCounts("mx")
    counts.accepted, counts.open = 3, 1
    counts.refused["limit"] += 2
    counts.ended_with(TOO_MANY_ERRORS)
    counts.ended_with(TOO_MANY_ERRORS.tagged("1m8"))
    counts.ended_with(Reply(550, "5.7.1", "a plugin says no"))
    found = Snapshot()
    counts.put(found)
    assert of(found, "stellwerk_connections_accepted", "mx") == 3
    assert of(found, "stellwerk_connections_open", "mx") == 1
    assert of(found, "stellwerk_connections_refused", "mx", "limit") == 2
    assert of(found, "stellwerk_sessions_ended", "mx", "too_many_errors") == 2
    assert of(found, "stellwerk_sessions_ended", "mx", "other") == 1


async def test_no_series_comes_from_what_strangers_say(tmp_path: Path) -> None:
    """A flood of senders, recipients and greetings leaves as many series as one message."""
    async with running(tmp_path) as gateway:
        await gateway.send(ANNA)
        before = _series(ProcessMetrics(gateway.gateway).gather())
        for number in range(20):
            await gateway.send(f"u{number}@example.test", sender=f"s@host{number}.test")
            greeting = session(helo=f"h{number}")
            told = await gateway.gateway.pipeline.mail(greeting, None, MailParameters())
            assert isinstance(told, Transaction)
        assert _series(ProcessMetrics(gateway.gateway).gather()) == before


def _series(snapshot: Snapshot) -> set[tuple[str, ...]]:
    return {(name, *labels) for name, series in snapshot.values.items() for labels in series}
