"""The message walk, readable from top to bottom: what happens between the first command and the last reply."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.mail.address import Address
from gateway.mail.body import Body
from gateway.mail.envelope import MailParameters, Recipient, Session
from gateway.mail.reply import Reply
from gateway.mail.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to the end of data. `replies`: one per accepted recipient, in order (LMTP); `reply`: one for all (SMTP).

    All of them end with the transaction id in brackets.
    """

    reply: Reply
    replies: tuple[Reply, ...]


class Pipeline:
    """What the edge calls, command by command. No method raises for a plugin's, the store's or a next hop's trouble."""

    async def connect(self, session: Session) -> Reply | None:
        """Before the greeting. A Reply refuses the connection (it is sent instead of the greeting)."""
        raise NotImplementedError

    async def mail(self, session: Session, sender: Address | None, parameters: MailParameters) -> Transaction | Reply:
        """MAIL FROM. A Transaction when accepted, else the refusal."""
        raise NotImplementedError

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        """RCPT TO. 250 takes the recipient into the transaction (a repeated one once); else the refusal."""
        raise NotImplementedError

    async def process(self, transaction: Transaction, body: Body) -> Verdict:
        """The message is complete. Always finishes, whatever the client does; closes `body` when done with it."""
        raise NotImplementedError

    def refused(self, transaction: Transaction, reply: Reply, size: int) -> Reply:
        """The edge refuses the message itself at the end of data (too big, bare newline, line too long, too slow).

        `size`: octets received. Gives the reply tagged with the id; the trace keeps the story.
        """
        raise NotImplementedError

    def confirm(self, transaction: Transaction) -> None:
        """The client has seen our reply to its final dot: a command arrived that was not pipelined before it."""
        raise NotImplementedError

    def abandon(self, transaction: Transaction) -> None:
        """RSET, EHLO, QUIT or a lost connection before the end of data."""
        raise NotImplementedError
