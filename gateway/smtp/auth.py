"""The AUTH command (RFC 4954): the dialogue only. Who somebody is, the pipeline says; what was said is never logged."""
# ruff: noqa: N802

from __future__ import annotations

from dataclasses import replace

from gateway.mail.envelope import Client, Credentials
from gateway.mail.reply import (
    AUTH_LINE_TOO_LONG,
    BAD_ARGUMENT,
    BAD_AUTH_RESPONSE,
    BAD_CREDENTIALS,
    BAD_SEQUENCE,
    ENCRYPTION_NEEDED,
    FAILED_TOO_OFTEN,
    LOGGED_IN,
    TOO_MANY_ERRORS,
    UNKNOWN_MECHANISM,
    Reply,
)
from gateway.smtp.chunking import ChunkTransfer
from gateway.smtp.connection import GoodbyeError
from gateway.smtp.credentials import MAX_AUTH_LINE, MECHANISMS, PASSWORD, USER_NAME, decoded, initial_response
from gateway.smtp.credentials import login as login_credentials
from gateway.smtp.credentials import plain as plain_credentials
from gateway.smtp.parameters import ArgumentError
from gateway.smtp.reading import EndlessLineError, LineTooLongError
from gateway.smtp.session import Service


class LoginDialogue(ChunkTransfer):
    """A conversation in which people can log in, on submission listeners."""

    def __init__(self, service: Service, client: Client) -> None:
        super().__init__(service, client)
        self._failed_logins = 0

    async def smtp_AUTH(self, argument: str) -> None:
        refusal = self._no_login_now()
        if refusal is not None:
            self._refuse(refusal)
            return
        mechanism, _, initial = argument.partition(" ")
        if not mechanism:
            self._refuse(BAD_ARGUMENT.says("AUTH wants a mechanism: PLAIN or LOGIN"))
            return
        if mechanism.upper() not in MECHANISMS:
            self._refuse(UNKNOWN_MECHANISM)
            return
        if self._failed_logins >= self.service.listener.max_auth_failures:
            raise GoodbyeError(FAILED_TOO_OFTEN)
        try:
            credentials = await self._credentials(mechanism.upper(), initial.strip(" "))
        except ArgumentError as error:
            self._login_refused(error.reply)
            return
        outcome = await self.service.pipeline.authenticate(self.mail_session, credentials)
        if isinstance(outcome, Reply):
            self._login_refused(outcome)
            return
        self._failed_logins = 0
        self._budget.renew()
        self.mail_session = replace(self.mail_session, identity=outcome)
        self._say(LOGGED_IN)

    def _no_login_now(self) -> Reply | None:
        if self.service.listener.role != "submission":
            return BAD_SEQUENCE.says("AUTH is not offered here")
        if not self.service.takes_logins(self.tls is not None):
            return ENCRYPTION_NEEDED
        if not self.mail_session.helo:
            return BAD_SEQUENCE.says("begin with EHLO")
        if self.mail_session.identity is not None:
            return BAD_SEQUENCE.says("you have logged in already")
        return BAD_SEQUENCE if self._transaction is not None else None

    async def _credentials(self, mechanism: str, initial: str) -> Credentials:
        """Raises `ArgumentError`."""
        challenge = "" if mechanism == "PLAIN" else USER_NAME
        first = initial_response(initial) if initial else await self._answer_to(challenge)
        if mechanism == "PLAIN":
            return plain_credentials(first)
        return login_credentials(first, await self._answer_to(PASSWORD))

    async def _answer_to(self, challenge: str) -> bytes:
        """Raises `ArgumentError`."""
        self._out.append(f"334 {challenge}\r\n".encode())
        deadline = self.service.loop.time() + self._allowance.command_seconds
        try:
            while (line := self.incoming.take_line(MAX_AUTH_LINE)) is None:
                await self._more(deadline)
        except LineTooLongError:
            raise ArgumentError(AUTH_LINE_TOO_LONG) from None
        except EndlessLineError:
            raise GoodbyeError(TOO_MANY_ERRORS) from None
        if not line.endswith(b"\r\n"):
            raise ArgumentError(BAD_AUTH_RESPONSE.says("a line ends with CR LF"))
        return decoded(line[:-2])

    def _login_refused(self, reply: Reply) -> None:
        if reply.code == BAD_CREDENTIALS.code:
            self._failed_logins += 1
        self._refuse(reply)
