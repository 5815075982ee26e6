"""Living: slots that are filled again, new generations, draining, stopping. Real processes, stand-in workers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.core.supervisor.serving import Serving, is_alive
from tests.integration.waiting import until

# Several interpreters each.
pytestmark = pytest.mark.slow


async def test_a_killed_worker_is_replaced_on_the_same_socket(serving: Serving) -> None:
    await serving.start()
    before = await serving.ask()
    os.kill(before["process"], signal.SIGKILL)
    after = await serving.ask()
    assert after["process"] != before["process"]
    assert (after["dead"], after["first_start"]) == ([before["instance"]], False)
    assert "smtp-0 (process" in serving.output
    assert "ended: killed by SIGKILL; restarting it" in serving.output
    await serving.stop()


async def test_a_connection_made_while_the_slot_is_empty_waits_for_the_next_worker(serving: Serving) -> None:
    await serving.start()
    before = await serving.ask()
    host, _, port = serving.address.rpartition(":")
    os.kill(before["process"], signal.SIGSTOP)
    reader, writer = await asyncio.open_connection(host, int(port))
    os.kill(before["process"], signal.SIGKILL)
    assert before["instance"].encode() in await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    await writer.wait_closed()
    await serving.stop()


async def test_a_worker_that_dies_again_and_again_is_restarted_more_slowly(serving: Serving) -> None:
    await serving.start()
    instances = []
    for _ in range(4):
        async with await serving.connect() as client:
            instances.append(client.greeting["instance"])
            await client.say("die")
            assert await client.reader.read() == b""
    assert len(set(instances)) == 4
    await serving.says("ended: exit status 3; restarting it", times=4)
    assert (await serving.ask())["dead"] == [instances[-1]]
    await serving.stop()


async def test_g3_a_worker_whose_loop_stands_still_ends_itself_and_says_where(serving: Serving) -> None:
    serving.configure(server="watchdog_seconds = 1")
    await serving.start()
    async with await serving.connect() as client:
        await client.say("stand-still")
        assert await client.reader.read() == b""
    (line,) = [line for line in serving.output.splitlines() if "CRITICAL" in line]
    assert "the event loop stood still for 1 seconds in the core" in line
    assert "_talk" in line
    assert (await serving.ask())["dead"] == [client.greeting["instance"]]
    await serving.stop()


async def test_a_worker_that_cannot_even_watch_itself_is_killed(serving: Serving) -> None:
    serving.configure(server="watchdog_seconds = 1")
    await serving.start()
    before = await serving.ask()
    os.kill(before["process"], signal.SIGSTOP)
    await serving.says("stood still for 6 seconds and was killed; restarting it")
    assert (await serving.ask())["process"] != before["process"]
    await serving.stop()


async def test_sighup_brings_a_new_generation_and_drains_the_old(serving: Serving) -> None:
    serving.configure(server="drain_seconds = 60", stand_in="mark = 1")
    await serving.start()
    async with await serving.connect() as client:
        serving.configure(server="drain_seconds = 60", stand_in="mark = 2")
        serving.signal(signal.SIGHUP)
        await serving.says("generation 2 took over")

        async def is_new() -> bool:
            return bool((await serving.ask())["mark"] == 2)

        await until(is_new, "the new generation answers alone")
        assert await client.echo("still here") == "still here"
        assert client.greeting["mark"] == 1
    await serving.says("generation 1 has gone")
    assert not is_alive(client.greeting["process"])
    assert (await serving.ask())["first_start"] is False
    await serving.stop()


async def test_g13_c1_sighup_with_a_wrong_configuration_keeps_the_old_generation(serving: Serving) -> None:
    await serving.start()
    before = await serving.ask()
    serving.configure(extra="[limits]\nmax_mesage_bytes = 1\nspill_bytes = 1")
    serving.signal(signal.SIGHUP)
    await serving.says("the old one serves on")
    await serving.says('limits.max_mesage_bytes; did you mean "max_message_bytes"?')
    await serving.says("found 1 at limits.spill_bytes; expected a whole number, at least 4_096")
    assert (await serving.ask())["process"] == before["process"]
    os.kill(before["process"], signal.SIGKILL)
    assert (await serving.ask())["dead"] == [before["instance"]]
    await serving.stop()


async def test_sighup_with_a_generation_that_fails_to_start(serving: Serving) -> None:
    await serving.start()
    before = await serving.ask()
    for number, how in enumerate(("failed by smtp", "refused by check", "death of desk"), 1):
        serving.configure(stand_in=f'start = "{how}"')
        serving.signal(signal.SIGHUP)
        await serving.says("the old one serves on", times=number)
        assert (await serving.ask())["process"] == before["process"]
    serving.configure(stand_in="mark = 7")
    serving.signal(signal.SIGHUP)
    await serving.says("took over")
    await serving.says("has gone")
    assert (await serving.ask())["mark"] == 7
    await serving.stop()


async def test_sighup_changes_workers_and_listeners(serving: Serving) -> None:
    await serving.start()
    path = serving.directory / "extra.sock"
    more = f'[[listener]]\nname = "extra"\naddress = "unix:{path}"\n'
    serving.configure(server="workers = 3", extra=more)
    serving.signal(signal.SIGHUP)
    await serving.says("generation 2 took over")
    await serving.says("generation 1 has gone")
    reader, writer = await asyncio.open_unix_connection(str(path))
    assert b"instance" in await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    await writer.wait_closed()

    async def all_three() -> bool:
        return len({(await serving.ask())["process"] for _ in range(10)}) == 3

    await until(all_three, "three workers answer")
    serving.configure(server="workers = 1")
    serving.signal(signal.SIGHUP)
    await serving.says("generation 3 took over")
    await serving.says("generation 2 has gone")
    assert not path.exists()
    assert len({(await serving.ask())["process"] for _ in range(10)}) == 1
    await serving.stop()


async def test_c8_sigterm_lets_what_runs_finish_and_refuses_what_comes(serving: Serving) -> None:
    serving.configure(server="drain_seconds = 60")
    await serving.start()
    host, _, port = serving.address.rpartition(":")

    async def is_refused() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    async with await serving.connect() as client:
        serving.signal(signal.SIGTERM)
        await until(is_refused, "new connections are refused")
        assert await client.echo("one more") == "one more"
        assert serving.process.returncode is None
    assert await serving.ended() == 0
    assert not is_alive(client.greeting["process"])


async def test_a_second_sigterm_does_not_wait(serving: Serving) -> None:
    serving.configure(server="drain_seconds = 3600")
    await serving.start()
    async with await serving.connect() as client:
        serving.signal(signal.SIGTERM)
        # The kernel would make one of two signals that arrive before the first is handled.
        await serving.says("asked to stop: running transactions may finish")
        assert await client.echo("one more") == "one more"
        serving.signal(signal.SIGTERM)
        assert await serving.ended() == 0
        assert await client.reader.read() == b""
    assert "asked to stop a second time" in serving.output


async def test_a_worker_that_does_not_drain_is_killed(serving: Serving) -> None:
    serving.configure(server="drain_seconds = 0", stand_in='stop = "never"')
    await serving.start()
    async with await serving.connect() as client:
        assert await serving.stop() == 0
    assert not is_alive(client.greeting["process"])


async def test_workers_of_a_killed_supervisor_finish_and_keep_the_state_directory_until_then(serving: Serving) -> None:
    serving.configure(server="drain_seconds = 60")
    await serving.start()
    async with await serving.connect() as client:
        serving.signal(signal.SIGKILL)
        await serving.process.wait()
        await serving.launch()
        await until(lambda: "the supervisor is gone" in serving.output, "the worker notices")
        assert await client.echo("still here") == "still here"
        await serving.says("waiting for workers of an earlier start")
        assert serving.output.count("ready\n") == 1
    await serving.says("ready\n", times=2)
    after = await serving.ask()
    assert not is_alive(client.greeting["process"])
    assert after["first_start"] is True
    await serving.stop()


def children_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


async def test_sigterm_while_it_starts(serving: Serving) -> None:
    serving.configure(stand_in='start = "never by smtp"')
    await serving.launch()
    await until(lambda: children_of(serving.process.pid), "a worker is started")
    assert await serving.stop() == 0
    assert "ready" not in serving.output
