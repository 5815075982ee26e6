"""The recipes submission and outbound-apart in one Postfix: neither takes the shared transport from the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.postfix_recipes.outbound_apart import OutboundApart
from gateway.postfix_recipes.recipe import parts
from gateway.postfix_recipes.submission import Submission
from tests.integration.ports import PortReservation
from tests.integration.postfix.beside import beside_after_queue, last_story, listener_of
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import PostfixInstance, checked
from tests.integration.postfix.messages import message
from tests.integration.postfix.recipe_pair import RecipePair, comparable, paste_way_back
from tests.integration.postfix.submission.desk import Desk, open_desk

pytestmark = [pytest.mark.server("postfix", "dovecot", "swaks"), pytest.mark.slow]

BY_LOGIN, BY_PROGRAM = "submission", "outbound-apart"
OUTBOUND, INBOUND = ("outbound", "outbound"), ("after-queue", "inbound")


async def listeners(pair: RecipePair, desk: Desk) -> dict[str, tuple[str, str]]:
    """By which listener mail of each recipe's own service comes."""
    await desk.swaks(SENDER, "sender")
    by_login = listener_of(await last_story(pair, "cleo@example.test"))
    base, expected = pair.postfix.base, len(pair.postfix.delivered("dora")) + 1
    (base / "letter").write_bytes(message(7).replace(b"\r\n", b"\n"))
    await checked("sh", "-euc", f"sendmail -C {base}/etc -f {SENDER} -i dora@example.test <{base}/letter")
    await pair.postfix.wait_until_delivered(expected, "dora")
    return {BY_LOGIN: by_login, BY_PROGRAM: listener_of(await last_story(pair, "dora@example.test"))}


@pytest.mark.parametrize("overlapping", [False, True], ids=["", "both name 587"])
@pytest.mark.parametrize("first", [BY_LOGIN, BY_PROGRAM])
async def test_either_is_taken_out_first(
    tmp_path: Path, ports: PortReservation, postfix: PostfixInstance, first: str, overlapping: bool
) -> None:
    """What was put in last goes first. The recipe after-queue-lmtp stays until both are gone, and is then taken out."""
    async with open_desk(tmp_path, ports, postfix) as desk:
        gateway = f"127.0.0.1:{ports.take()}"
        senders = f"{desk.services.split(',')[0]},pickup/unix" if overlapping else "pickup/unix"
        wanted = Submission(gateway, desk.services, postfix.front)
        options = {
            BY_LOGIN: ("--submission", wanted.submission, "--service", wanted.service),
            BY_PROGRAM: ("--senders", senders),
        }
        recipes = {BY_LOGIN: wanted, BY_PROGRAM: OutboundApart(gateway, senders)}
        [other] = set(recipes) - {first}
        async with beside_after_queue(tmp_path, ports, postfix, recipes[other], options[other]) as pair:
            printed = parts(await pair.gateway.command("postfix", "recipe", first, *options[first]))
            await postfix.apply(printed)
            assert await postfix.check() == ""
            await postfix.reload()
            assert await listeners(pair, desk) == {BY_LOGIN: OUTBOUND, BY_PROGRAM: OUTBOUND}

            queue = parts(await pair.gateway.command("postfix", "recipe", "after-queue-lmtp"))
            both = await postfix.configuration()
            assert "first paste the way back of outbound-apart or submission" in await postfix.paste(queue["back"])
            assert await postfix.configuration() == both

            told = await paste_way_back(postfix, printed["back"])
            assert f"content_filter = stellwerk-out:[127.0.0.1]:{gateway.rpartition(':')[2]}" in told
            assert await listeners(pair, desk) == {first: INBOUND, other: OUTBOUND}
            if first == BY_PROGRAM:
                checked_login = [line for line in both if line.startswith("127.0.0.1") or "stellwerk_own" in line]
                assert set(checked_login) <= set(await postfix.configuration())

            await paste_way_back(postfix, pair.printed["back"])
            assert comparable(await postfix.configuration()) == pair.before
            assert await listeners(pair, desk) == {BY_LOGIN: INBOUND, BY_PROGRAM: INBOUND}


async def test_mail_that_waits_for_the_outbound_listener_is_taken_in_anew(
    tmp_path: Path, ports: PortReservation, postfix: PostfixInstance
) -> None:
    """And no other: what waits behind the gateway has passed it."""
    wanted = OutboundApart(f"127.0.0.1:{ports.take()}", "pickup/unix")
    async with beside_after_queue(tmp_path, ports, postfix, wanted, ("--senders", wanted.senders)) as pair:
        (postfix.base / "letter").write_bytes(message(7).replace(b"\r\n", b"\n"))
        await pair.gateway.stop()
        await checked(
            "sh", "-euc", f"sendmail -C {postfix.base}/etc -f {SENDER} -i dora@example.test <{postfix.base}/letter"
        )
        await postfix.wait_until_deferred(1)
        await paste_way_back(postfix, pair.printed["back"])
        assert comparable(await postfix.configuration()) == pair.before
        await pair.gateway.start()
        await postfix.flush()
        await postfix.wait_until_delivered(1, "dora")
        assert listener_of(await last_story(pair, "dora@example.test")) == INBOUND
