"""Who gets which connection, who waits, who goes without."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.addresses import Endpoint, HopAddress
from gateway.delivery.connection import Connection, NextHopUnavailable
from gateway.delivery.opening import Terms, open_connection
from gateway.delivery.pool import Pool
from gateway.errors import ConfigError
from gateway.testing.sink import Sink
from tests.core.delivery.batches import soon


def pool_for(sink: Sink, *, connections: int = 2, idle_seconds: float = 30, transactions: int = 100) -> Pool:
    async def opener(until: float) -> Connection:
        address = HopAddress.parse(sink.address)
        return await open_connection(Endpoint(address, address), Terms(lmtp=False, helo_name="x"), until=until)

    return Pool(opener, connections=connections, idle_seconds=idle_seconds, transactions_per_connection=transactions)


async def test_the_connection_used_last_is_used_next() -> None:
    async with Sink() as sink:
        pool = pool_for(sink)
        first, second = await pool.acquire(soon()), await pool.acquire(soon())
        pool.release(first)
        pool.release(second)
        assert await pool.acquire(soon()) is second
        assert await pool.acquire(soon()) is first
        assert sink.connections == 2
        pool.release(first)
        pool.release(second)
        await pool.close()


async def test_those_in_line_are_served_in_turn() -> None:
    async with Sink() as sink:
        pool = pool_for(sink, connections=1)
        lent = await pool.acquire(soon())
        order: list[int] = []

        async def wait(number: int) -> None:
            connection = await pool.acquire(soon())
            order.append(number)
            pool.release(connection)

        waiting = [asyncio.create_task(wait(number)) for number in range(5)]
        await asyncio.sleep(0)
        pool.release(lent)
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4]
        assert sink.connections == 1
        await pool.close()


async def test_one_who_gives_up_just_as_the_turn_comes_passes_it_on() -> None:
    async with Sink() as sink:
        pool = pool_for(sink, connections=1)
        lent = await pool.acquire(soon())
        quitter = asyncio.create_task(pool.acquire(soon()))
        patient = asyncio.create_task(pool.acquire(soon()))
        await asyncio.sleep(0)
        pool.release(lent)
        quitter.cancel()
        assert await patient is lent
        with pytest.raises(asyncio.CancelledError):
            await quitter
        pool.release(lent)
        assert (pool.lent, pool.idle) == (0, 1)
        await pool.close()


async def test_a_broken_connection_makes_room_for_a_new_one() -> None:
    async with Sink() as sink:
        pool = pool_for(sink, connections=1)
        lent = await pool.acquire(soon())
        waiting = asyncio.create_task(pool.acquire(soon()))
        await asyncio.sleep(0)
        lent.abort()
        await lent.closed
        pool.release(lent)
        other = await waiting
        assert other is not lent
        pool.release(other)
        await pool.close()


async def test_when_nobody_can_connect_those_in_line_are_told_at_once() -> None:
    async with Sink() as sink:
        pool = pool_for(sink, connections=1)
        # Only one attempt is made: a second would be greeted well.
        sink.answer("CONNECT", "554 5.7.1 go away")
        results = await asyncio.gather(*(pool.acquire(soon()) for _ in range(4)), return_exceptions=True)
        assert all(isinstance(result, NextHopUnavailable) for result in results)
        assert sink.connections == 1
        assert pool.lent == 0
        await pool.close()


async def test_idle_connections_are_closed_with_quit_after_their_time() -> None:
    async with Sink() as sink:
        pool = pool_for(sink, idle_seconds=0.05)
        pool.release(await pool.acquire(soon()))
        assert pool.idle == 1
        await sink.reached("QUIT")
        assert pool.idle == 0
        await pool.close()


async def test_after_closing_nothing_is_lent() -> None:
    async with Sink() as sink:
        pool = pool_for(sink, connections=1)
        lent = await pool.acquire(soon())
        waiting = asyncio.create_task(pool.acquire(soon()))
        await asyncio.sleep(0)
        await pool.close()
        for refused in (waiting, pool.acquire(soon())):
            with pytest.raises(NextHopUnavailable, match="shutting down"):
                await refused
        pool.release(lent)
        await lent.closed
        assert pool.idle == 0


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:25", HopAddress("127.0.0.1", 25)),
        ("[::1]:25", HopAddress("::1", 25)),
        ("mail.example.test:2525", HopAddress("mail.example.test", 2525)),
        ("unix:/run/lmtp.sock", HopAddress(path="/run/lmtp.sock")),
    ],
)
def test_addresses(text: str, address: HopAddress) -> None:
    assert HopAddress.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "host", "host:", ":25", "::1:25", "host:0", "host:65536", "host:smtp", "unix:x"])
def test_what_is_no_address_says_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match="next hop address"):
        HopAddress.parse(text)
