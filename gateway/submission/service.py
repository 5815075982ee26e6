"""Submission in one process: logging in, and the checks at MAIL, RCPT and the end of data.

The rules themselves are in rules.py, passwords in directory/credentials.py; here the directory is asked for both.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.config.models import Config
from gateway.delivery.relays import relay_name
from gateway.directory.credentials import Origin, PasswordChecker, Refusal
from gateway.directory.logins import Logins, SendingAddress
from gateway.errors import StoreUnavailable
from gateway.hooks.runner import PluginFailure, Runner
from gateway.logs import tell
from gateway.mail.address import Address
from gateway.mail.edits import Edits
from gateway.mail.envelope import Credentials, Identity, Session
from gateway.mail.message import Message
from gateway.mail.networks import client_key, network_key
from gateway.mail.reply import (
    BAD_CREDENTIALS,
    CANNOT_CHECK_LOGIN,
    LOGIN_ENDED,
    STORE_DOWN,
    TOO_MANY_FAILED_LOGINS,
    Reply,
)
from gateway.mail.stamp import Stamp
from gateway.submission.rates import PersonRates
from gateway.submission.rules import NO_NULL_SENDER, Authors, is_notification, read_authors, refusal, rewrite

log = logging.getLogger("stellwerk.login")

_TOLD = {
    Refusal.PAUSE: TOO_MANY_FAILED_LOGINS,
    Refusal.BUSY: CANNOT_CHECK_LOGIN,
}
_OF_A_PERSON = frozenset({Refusal.INACTIVE, Refusal.NO_PASSWORD, Refusal.WRONG})


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a submitted message gets, and the next hop for recipients elsewhere (empty: routing.outbound)."""

    edits: Edits
    via: str = ""


class Submission:
    """For the planner and the pipeline. No method raises for trouble of the store or of a plugin."""

    def __init__(
        self,
        config: Config,
        logins: Logins,
        runner: Runner,
        stamp: Stamp,
        monotonic: Callable[[], float] = time.monotonic,
        checker: PasswordChecker | None = None,
    ) -> None:
        self._listeners = {listener.name: listener for listener in config.listeners}
        self._stamp = stamp
        self._logins = logins
        self._runner = runner
        self._checker = checker or PasswordChecker(logins, monotonic)
        self._rates = PersonRates(monotonic)

    def close(self) -> None:
        self._checker.close()

    async def authenticate(self, session: Session, credentials: Credentials) -> Identity | Reply:
        """Who it is, or the reply to AUTH."""
        origin = self._origin(session)
        try:
            if self._runner.chain("smtp_auth"):
                backoff, user = self._checker.backoff, credentials.user
                if backoff.must_wait(user, origin.client, origin.network):
                    return self._refused(session, credentials, Refusal.PAUSE)
                answer = (
                    await self._runner.first_answer("smtp_auth", [], session=session, credentials=credentials)
                ).answer
                if answer is not None:
                    return await self._by_plugin(session, credentials, origin, answer)
            found = await self._checker.check(credentials, origin)
        except (PluginFailure, StoreUnavailable) as error:
            log.error("%s a login cannot be checked: %s", session.id, error)
            return CANNOT_CHECK_LOGIN
        if isinstance(found, Refusal):
            return self._refused(session, credentials, found)
        return self._let_in(session, credentials, found)

    async def _by_plugin(
        self, session: Session, credentials: Credentials, origin: Origin, answer: Identity | Reply
    ) -> Identity | Reply:
        """A plugin knows the password; who the person is and whether they have left, the directory."""
        backoff, user = self._checker.backoff, credentials.user
        if isinstance(answer, Reply):
            if answer.is_accept:
                log.error("%s a plugin answered AUTH with %s; it lets people in with an Identity", session.id, answer)
                return CANNOT_CHECK_LOGIN
            if answer.is_permanent:
                backoff.failed(user, origin.client, origin.network)
            return answer
        found = await self._logins.find(str(answer.address))
        if found is None or not found.active:
            backoff.failed(user, origin.client, origin.network)
            return self._refused(session, credentials, Refusal.UNKNOWN if found is None else Refusal.INACTIVE)
        backoff.succeeded(user, origin.client)
        return self._let_in(session, credentials, found.identity)

    def _origin(self, session: Session) -> Origin:
        listener, address = self._listeners[session.listener], session.client.address
        return Origin(
            client_key(address), network_key(address, listener.network_prefix_ipv4, listener.network_prefix_ipv6)
        )

    def _let_in(self, session: Session, credentials: Credentials, identity: Identity) -> Identity:
        tell(log, "login", _facts(session, credentials) | {"login": str(identity.address)})
        return identity

    def _refused(self, session: Session, credentials: Credentials, why: Refusal) -> Reply:
        """What somebody typed is shown only when it is a person's address: it might be a password."""
        who = {"login": credentials.user} if why in _OF_A_PERSON else {}
        tell(log, "login refused", _facts(session, credentials) | who | {"reason": str(why)})
        return _TOLD.get(why, BAD_CREDENTIALS)

    async def person(self, address: str) -> Identity | None:
        """An active person, as if they had logged in: for `explain`. Raises `StoreUnavailable`."""
        found = await self._logins.find(address)
        return found.identity if found is not None and found.active else None

    async def mail(self, session: Session, sender: Address | None) -> Reply | None:
        """The refusal of MAIL, if any. A session outlives the login by no message: 421 closes it."""
        identity = _identity(session)
        try:
            now = await self._logins.find(str(identity.address))
            if now is None or not now.active or now.identity.credential_version != identity.credential_version:
                return LOGIN_ENDED
            too_much = self._rates.message(identity.person_id, self._listeners[session.listener])
            if too_much is not None or sender is None:
                return too_much
            return refusal(sender, await self._logins.address(identity.person_id, sender), "MAIL FROM")
        except StoreUnavailable as error:
            log.error("%s the directory cannot be asked: %s", session.id, error)
            return STORE_DOWN

    def recipient(self, session: Session) -> Reply | None:
        """The refusal of RCPT, if any."""
        return self._rates.recipient(_identity(session).person_id, self._listeners[session.listener])

    async def relay(self, session: Session, sender: Address | None) -> str:
        """The next hop that the sender's mailbox has for itself; empty for none. Raises `StoreUnavailable`."""
        found = None
        if sender is not None:
            found = await self._logins.address(_identity(session).person_id, sender)
        return relay_name(found.mailbox_id) if found is not None and found.has_relay else ""

    async def prepare(self, message: Message, core: Edits, story: list[dict[str, Any]]) -> Prepared | Reply:
        """The end of data: the header's authors are checked, and what is missing or must go is put into `core`.

        Raises `StoreUnavailable`.
        """
        identity, envelope, headers = _identity(message.session), message.envelope, message.headers
        if envelope.sender is None and not is_notification(headers):
            return NO_NULL_SENDER
        authors = read_authors(headers)
        if isinstance(authors, Reply):
            return authors
        known: dict[str, SendingAddress] = {}
        for each in authors.mailboxes:
            found = await self._logins.address(identity.person_id, each.address)
            refused = refusal(each.address, found, "From")
            if refused is not None or found is None:
                return refused or NO_NULL_SENDER
            known[each.address.key] = found
        await self._look_up_sender(identity, authors, known)
        rewriting = rewrite(
            headers,
            authors,
            known,
            identity,
            sender_address=await self._own_address(identity, envelope.sender),
            message_id=self._stamp.message_id(message.id),
            at=message.received_at,
        )
        via = await self.relay(message.session, envelope.sender or authors.mailboxes[0].address)
        story.append(
            {
                "event": "submission",
                "login": str(identity.address),
                "from": {str(each.address): known[each.address.key].right for each in authors.mailboxes},
                "changes": list(rewriting.changes),
            }
        )
        return Prepared(_joined(core, rewriting.edits), via)

    async def _look_up_sender(self, identity: Identity, authors: Authors, known: dict[str, SendingAddress]) -> None:
        if authors.sender is None or authors.sender.address.key in known:
            return
        found = await self._logins.address(identity.person_id, authors.sender.address)
        if found is not None:
            known[authors.sender.address.key] = found

    async def _own_address(self, identity: Identity, sender: Address | None) -> str:
        """The address that Sender names the person by: that of their login where it is a mailbox of theirs."""
        for address in filter(None, (identity.address, sender)):
            found = await self._logins.address(identity.person_id, address)
            if found is not None and found.right == "own" and found.is_personal:
                return str(address)
        return str(identity.address)


def _identity(session: Session) -> Identity:
    assert session.identity is not None, "the edge takes no MAIL on a submission listener before AUTH"
    return session.identity


def _joined(core: Edits, more: Edits) -> Edits:
    """The core's own lines stay lowest: they can bear what a message that begins folded would add to them."""
    return Edits(
        more.prepend + core.prepend,
        tuple(sorted((*core.splices, *more.splices))),
        tuple(sorted({*core.may_break_dkim, *more.may_break_dkim})),
    )


def _facts(session: Session, credentials: Credentials) -> dict[str, Any]:
    return {
        "session": session.id,
        "listener": session.listener,
        "client": session.client.address or "unknown",
        "tls": session.tls,
        "mechanism": credentials.mechanism,
    }
