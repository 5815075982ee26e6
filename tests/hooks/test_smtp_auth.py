"""smtp_auth: whose credentials are these? The directory is asked last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from gateway.directory.backoff import FREE_FAILURES
from gateway.directory.cache import Version
from gateway.directory.credentials import PasswordChecker
from gateway.directory.logins import Logins
from gateway.directory.people import SetPassword
from gateway.hooks.runner import Call
from gateway.mail.address import Address
from gateway.mail.envelope import Credentials, Identity, Session
from gateway.mail.reply import (
    ACCEPTED,
    BAD_CREDENTIALS,
    CANNOT_CHECK_LOGIN,
    TOO_MANY_FAILED_LOGINS,
    Reply,
)
from gateway.mail.stamp import Stamp
from gateway.submission.service import Submission
from tests.core.directory.conftest import Kept, kept, town
from tests.core.submission.people import LISTENER
from tests.hooks.walk import call, chain, config, session

__all__ = ["kept", "town"]

ANNA = Credentials("PLAIN", "anna@acme.test", "sesame")
Submitting = Callable[..., Submission]


@pytest.fixture
async def submission(town: Kept) -> AsyncIterator[Submitting]:
    """`submission(call, ...)`: with these hooks. anna has the password "sesame" in the directory."""
    await town.do(SetPassword("anna@acme.test", "#sesame"))
    made: list[Submission] = []

    def make(*calls: Call) -> Submission:
        logins = Logins(town.store, Version(town.store))
        checker = PasswordChecker(logins, lambda: 0.0, lambda kept, password: kept == f"#{password}")
        made.append(Submission(config(LISTENER), logins, chain(*calls), Stamp("gw", b""), lambda: 0.0, checker))
        return made[-1]

    yield make
    for each in made:
        each.close()


def came() -> Session:
    return session("submission", listener="submission", direction="outbound")


async def asked(submission: Submission, credentials: Credentials = ANNA) -> Identity | Reply:
    return await submission.authenticate(came(), credentials)


async def test_it_sees_session_and_credentials_and_no_password_in_their_text(submission: Submitting) -> None:
    seen: list[object] = []

    def hook(session: Session, credentials: Credentials) -> None:
        seen.extend([session.listener, credentials.user, credentials.password, credentials.mechanism])
        assert "sesame" not in repr(credentials)

    assert isinstance(await asked(submission(call("smtp_auth", hook))), Identity)
    assert seen == ["submission", "anna@acme.test", "sesame", "PLAIN"]


async def test_the_first_answer_counts_and_the_directory_is_asked_last(submission: Submitting) -> None:
    bo = Identity(Address.parse("bo@acme.test"))
    calls = [
        call("smtp_auth", lambda: None),
        call("smtp_auth", lambda: bo),
        call("smtp_auth", lambda: BAD_CREDENTIALS),
    ]
    found = await asked(submission(*calls))
    assert isinstance(found, Identity)
    assert (str(found.address), found.name, found.context) == ("bo@acme.test", "Bo Dahl", "plant")
    assert found.person_id
    assert await asked(submission(calls[0], calls[2])) == BAD_CREDENTIALS
    found = await asked(submission(calls[0]))
    assert isinstance(found, Identity)
    assert str(found.address) == "anna@acme.test"


async def test_nobody_knows_it(submission: Submitting) -> None:
    refused = await asked(submission(call("smtp_auth", lambda: None)), Credentials("PLAIN", "anna@acme.test", "barley"))
    assert refused == BAD_CREDENTIALS


async def test_somebody_who_is_not_in_the_directory_is_not_let_in(submission: Submitting) -> None:
    nobody = Identity(Address.parse("nobody@acme.test"), "p1", credential_version=1)
    assert await asked(submission(call("smtp_auth", lambda: nobody))) == BAD_CREDENTIALS


async def test_a_reply_that_accepts_lets_nobody_in(submission: Submitting) -> None:
    assert await asked(submission(call("smtp_auth", lambda: ACCEPTED))) == CANNOT_CHECK_LOGIN


async def test_g1_a_failure_is_temporary_or_the_next_ones_question(submission: Submitting) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    assert await asked(submission(call("smtp_auth", broken))) == CANNOT_CHECK_LOGIN
    assert isinstance(await asked(submission(call("smtp_auth", broken, on_error="skip"))), Identity)
    assert await asked(submission(call("smtp_auth", lambda: "yes"))) == CANNOT_CHECK_LOGIN


async def test_who_has_to_pause_is_not_asked_about(submission: Submitting) -> None:
    asked_for: list[str] = []

    def hook(credentials: Credentials) -> Reply:
        asked_for.append(credentials.user)
        return BAD_CREDENTIALS

    made = submission(call("smtp_auth", hook))
    for _ in range(FREE_FAILURES):
        assert await asked(made) == BAD_CREDENTIALS
    assert await asked(made) == TOO_MANY_FAILED_LOGINS
    assert len(asked_for) == FREE_FAILURES
