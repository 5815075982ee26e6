"""One message, several recipients, one reply: what SMTP can say must be right for each. See `OneReplyForAll`."""

from __future__ import annotations

from abc import abstractmethod

from tests.integration.postfix.every_recipe import EveryRecipe
from tests.integration.postfix.messages import message
from tests.integration.postfix.recipe_pair import RecipePair

BUSY, NEVER, GOOD = "busy@elsewhere.test", "never@elsewhere.test", "good@elsewhere.test"


class OneReplyForAll(EveryRecipe):
    """Inherit it for recipes in which the gateway answers once for all, and mail for elsewhere passes too.

    The sender is a program of this host, since Postfix relays for nobody else.
    """

    @abstractmethod
    async def attempt(self, pair: RecipePair, data: bytes, recipients: list[str]) -> str:
        """Send, and give back the gateway's one reply."""

    @abstractmethod
    async def again(self, pair: RecipePair, data: bytes, recipients: list[str]) -> None:
        """What the sender does after a temporary failure."""

    async def test_busy_recipient_is_tried_again_and_the_others_get_one_copy(self, pair: RecipePair) -> None:
        pair.elsewhere.answer("RCPT", "451 4.2.1 mailbox busy", to=BUSY)
        before = len(pair.postfix.delivered("cleo"))
        data = message(10)
        assert (await self.attempt(pair, data, ["cleo@example.test", BUSY])).startswith("451 4.2.1")
        await self.again(pair, data, ["cleo@example.test", BUSY])
        await pair.elsewhere.reached("DOT")
        await pair.postfix.wait_until_queue_is_empty()
        assert [received.to for received in pair.elsewhere.messages] == [(BUSY,)]
        assert len(pair.postfix.delivered("cleo")) == before + 1

    async def test_who_is_refused_stands_in_a_notification(self, pair: RecipePair) -> None:
        pair.elsewhere.answer("RCPT", "550 5.7.1 not for you", to=NEVER, always=True)
        expected = pair.postfix.count_delivered() + 1
        assert (await self.attempt(pair, message(11), [GOOD, NEVER])).startswith("250 2.0.0")
        await pair.postfix.wait_until_delivered(expected)
        notice = next(n for n in pair.postfix.delivered("sender") if b"never@elsewhere.test" in n)
        assert b"\nFinal-Recipient: rfc822;never@elsewhere.test\n" in notice.replace(b"; ", b";")
        assert b"Final-Recipient: rfc822;good@" not in notice.replace(b"; ", b";")
        assert pair.elsewhere.messages[-1].to == (GOOD,)
