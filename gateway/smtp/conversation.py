"""What one client has done so far and what it hears: session, open transaction, errors, replies. No verb is here."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace

from gateway.logs import tell
from gateway.mail.envelope import Client, Session
from gateway.mail.reply import Reply
from gateway.mail.transaction import Transaction
from gateway.smtp.connection import NEVER, Connection, GoodbyeError
from gateway.smtp.intake import MessageIntake
from gateway.smtp.limits import Allowance, CommandBudget
from gateway.smtp.rates import Rates
from gateway.smtp.session import Service

log = logging.getLogger(__name__)

# A refused line is shown in log and trace only behind these: any other may hold a password, or what follows AUTH.
_SHOWN = frozenset((b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"BDAT", b"XFORWARD", b"XCLIENT"))
_NAMED = frozenset((b"AUTH", b"DATA", b"RSET", b"NOOP", b"VRFY", b"EXPN", b"HELP", b"STARTTLS", b"QUIT"))

MAX_COMMAND = 512  # RFC 5321 4.5.3.1.4, line end included


class Conversation(Connection):
    """A connection with the state that the verbs share."""

    def __init__(self, service: Service, client: Client) -> None:
        super().__init__(service)
        self.mail_session: Session = service.new_session(client)
        self._at_connect = self.mail_session
        # Whom the connection is from, whatever XCLIENT says; only XFORWARD goes by it.
        self._peer_trusted = self.mail_session.trusted
        self._unforwarded = client
        self._transaction: Transaction | None = None
        self._recipients_named = 0
        self._refused_recipients = False
        self._forwarded: dict[str, str] = {}
        self._line = b""
        """The command that is worked on."""
        self._answered: deque[tuple[int, Transaction]] = deque()  # and how much input had come by then
        self._budget = CommandBudget()
        self._intake: MessageIntake | None = None
        """The message that is being taken, by DATA or in the chunks that have come so far."""

    @property
    def has_transaction(self) -> bool:
        return self._transaction is not None or self.processing is not None

    @property
    def _allowance(self) -> Allowance:
        return self.service.allowance(trusted=self._peer_trusted)

    @property
    def handshake_seconds(self) -> float:
        """How long a TLS handshake may take now."""
        return min(self.service.listener.tls_handshake_seconds, self._allowance.command_seconds)

    @property
    def _rates(self) -> Rates | None:
        """None for whom no rate is limited."""
        return None if self._peer_trusted else self.service.rates

    def hurry(self, latest: float) -> None:
        """The listener is under stress: an untrusted client that we wait for has until `latest`, a loop time."""
        if self.deadline != NEVER and not self._peer_trusted:
            self.deadline = latest

    def came_through(self, proxy: str, destination: str) -> None:
        """A load balancer brought the client, who had connected to `destination` ("" if that was not told)."""
        self._at_connect = self.mail_session = replace(self.mail_session, proxy=proxy, destination=destination)

    def _note_encryption(self) -> None:
        """TLS has begun: nothing that was said before it counts any more (RFC 3207 4.2)."""
        if self.tls is not None:
            version, cipher = self.tls.version() or "", self.tls.cipher()
            self.mail_session = replace(self._at_connect, tls=version, cipher=cipher[0] if cipher else "")

    def _handshake_failed(self, error: OSError) -> None:
        session = self.mail_session
        log.info("%s %s client=%s TLS failed: %s", session.id, session.listener, session.client.address, error)

    def _confirm(self, consumed: int) -> None:
        """A command has come that began behind so many octets: the client has seen what was answered before them."""
        while self._answered and self._answered[0][0] <= consumed:
            self.service.pipeline.confirm(self._answered.popleft()[1])

    def _reset(self) -> None:
        """Back to where a transaction may begin; what was begun is abandoned."""
        if self._transaction is not None:
            self.service.pipeline.abandon(self._transaction)
        self._end_transaction()

    def _end_transaction(self) -> None:
        self._transaction = None
        if self._intake is not None:
            self._intake.discard()
            self._intake = None
        self._recipients_named = 0
        self._refused_recipients = False
        if self._forwarded:
            self._forwarded = {}
            self.mail_session = replace(self.mail_session, client=self._unforwarded)

    # Replies

    @property
    def _id(self) -> str:
        return self.mail_session.id if self._transaction is None else self._transaction.id

    def _tagged(self, reply: Reply) -> Reply:
        return reply if reply.text.endswith("]") else reply.tagged(self._id)

    def _refuse(self, reply: Reply, *, by_policy: bool = False) -> None:
        """Say no. A mail server beside us is not blamed for the refusals that its own clients' mail meets."""
        farewell = None if by_policy and self.mail_session.trusted else self._budget.error(self._allowance)
        if farewell is not None:
            raise GoodbyeError(farewell)
        if not reply.text.endswith("]"):  # what the pipeline refused has its id, and its story
            self._note(reply)
        self._say(self._tagged(reply))

    def _note(self, reply: Reply) -> None:
        """Keep a command that was refused, so that the id in the reply leads somewhere."""
        command = showable(self._line)
        if self._transaction is None:
            tell(log, "command refused", self._facts(reply, command))
        elif not self._transaction.events or self._transaction.events[-1].get("reply") != str(reply):
            self._transaction.events.append({"event": "refused", "command": command, "reply": str(reply)})

    def _say_farewell(self, reply: Reply) -> None:
        """The last words. Those that break the session off stand in the log, under the id in them."""
        if reply.is_accept:
            self._say(reply)
            return
        self.service.counts.ended_with(reply)
        tagged = self._tagged(reply)
        tell(log, "session ended", self._facts(tagged, showable(self._line)))
        self._say(tagged)

    def _facts(self, reply: Reply, command: str) -> dict[str, str]:
        session = self.mail_session
        facts = {
            "id": self._id,
            "listener": session.listener,
            "client": session.client.address or "unknown",
            "helo": session.helo,
            "command": command,
            "reply": str(reply.untagged),
        }
        return {key: value for key, value in facts.items() if value}

    def _count_idle(self) -> None:
        farewell = self._budget.idle(self._allowance)
        if farewell is not None:
            raise GoodbyeError(farewell)


def showable(line: bytes) -> str:
    """A command line as it may be told: whole, its verb alone, or nothing where it is no command that we know."""
    verb = line.split(None, 1)[0].upper() if line.strip() else b""
    if verb not in _SHOWN:
        return verb.decode() if verb in _NAMED else ""
    return line[:MAX_COMMAND].rstrip().decode("ascii", "backslashreplace")
