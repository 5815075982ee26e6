"""`stellwerk domain check`: what a person reads of a domain's DNS, what a program reads, and the exit status."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli.customer import CHALLENGE, MX, NAME, OLD_MX, Customer, customer_of
from tests.databases import MadeOnce
from tests.integration.gateway_process import HEEDING_SIGINT, STELLWERK

pytestmark = pytest.mark.slow  # whole gateways or commands in processes of their own

PATIENCE_SECONDS = 60.0


def rows_of(output: str) -> dict[str, list[str]]:
    return {line.split("\t")[0]: line.split("\t") for line in output.splitlines() if "\t" in line}


def test_the_required_checks_decide_about_the_exit_status(customer: Customer) -> None:
    customer.publish(customer.key, *MX)
    ran = customer.stellwerk("domain", "check", NAME)
    assert (ran.status, ran.errors) == (0, "")
    rows = rows_of(ran.output)
    assert [rows[check][1:3] for check in ("ownership", "mx", "spf")] == [
        ["required", "pass"],
        ["required", "pass"],
        ["advised", "warn"],
    ]
    assert f"{NAME}: pending; the gateway looks next at " in ran.output


def test_a_warning_of_a_required_check_is_good_enough(customer: Customer) -> None:
    customer.publish(customer.key, MX[0])
    ran = customer.stellwerk("domain", "check", NAME)
    assert (ran.status, rows_of(ran.output)["mx"][2]) == (0, "warn")


SPOILT = [
    (
        "en",
        "others may see the old answer (no such record) up to 900 s after a change",
        "your panel appended the domain",
    ),
    ("de", "Andere sehen die alte Antwort (kein solcher Eintrag) nach einer Änderung bis zu 900 s lang", "angehängt"),
]


@pytest.mark.parametrize(("language", "lasting", "advice"), SPOILT)
def test_what_is_wrong_is_said_with_what_to_do_and_how_long_others_see_it(
    customer: Customer, language: str, lasting: str, advice: str
) -> None:
    _, rdtype, value, ttl = customer.key
    customer.publish((f"{CHALLENGE}.{NAME}", rdtype, value, ttl), OLD_MX)
    ran = customer.stellwerk("domain", "check", NAME, "--language", language)
    assert ran.status == 1
    rows = rows_of(ran.output)
    assert [rows[check][2] for check in ("ownership", "mx")] == ["fail", "fail"]
    assert advice.lower() in rows["ownership"][3].lower()
    assert f"{CHALLENGE}.{NAME}" in rows["ownership"][3]
    assert "mail.oldhost.test" in rows["mx"][3]
    assert f"{CHALLENGE} TXT: {lasting}" in ran.output
    assert "('5 mail.oldhost.test.')" in ran.output
    assert "1800 s" in ran.output


def test_the_language_is_that_of_the_notices_unless_said(
    tmp_path: Path, made_once: MadeOnce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with customer_of(tmp_path, made_once, capsys, monkeypatch, domains='language = "de"') as customer:
        assert "Wir haben am " in customer.stellwerk("domain", "check", NAME).output
        assert "We asked " in customer.stellwerk("domain", "check", NAME, "--language", "en").output


def test_a_resolver_in_trouble_is_no_pass(customer: Customer) -> None:
    customer.server.replace_behaviour({"*/*": "REFUSED"})
    ran = customer.stellwerk("domain", "check", NAME, "--json")
    assert ran.status == 1
    told = json.loads(ran.output)
    assert {each["status"] for each in told["checks"] if each["required"]} == {"temp"}
    assert told["required_pass"] is False


def test_json_holds_everything_that_was_seen(customer: Customer) -> None:
    customer.publish(customer.key, OLD_MX)
    ran = customer.stellwerk("domain", "check", NAME, "--json", "--language", "de")
    assert ran.status == 1
    told = json.loads(ran.output)
    typed: dict[str, Any] = {
        "domain": str, "organisation": str, "state": str, "waits_for_operator": str, "next_look_at": float,
        "checked_at": float, "required_pass": bool, "language": str, "checks": list, "lifetimes": list,
    }  # fmt: skip
    assert {name: type(value) for name, value in told.items()} == typed
    assert (told["domain"], told["organisation"], told["state"]) == (NAME, "acme", "pending")
    checks = {each["check"]: each for each in told["checks"]}
    assert [name for name, each in checks.items() if each["required"]] == ["ownership", "mx"]
    assert set(checks["mx"]) == {
        "check", "status", "reason", "required", "observations", "facts", "sentence", "advice",
    }  # fmt: skip
    assert (checks["mx"]["status"], checks["mx"]["reason"]) == ("fail", "mx_elsewhere")
    assert checks["mx"]["sentence"].startswith("Wir haben am ")
    assert {seen["authoritative"] for seen in checks["ownership"]["observations"]} == {True, False}
    (lasting,) = [each for each in told["lifetimes"] if each["type"] == "MX"]
    assert (lasting["texts"], lasting["ttl"]) == (["5 mail.oldhost.test."], 1800)
    assert lasting["until"] == lasting["at"] + 1800


def test_hostile_text_reaches_no_terminal(customer: Customer) -> None:
    customer.publish((CHALLENGE, "TXT", '"token=\\027[2Jx\\226\\128\\174y"', 300), OLD_MX)
    ran = customer.stellwerk("domain", "check", NAME)
    assert ran.status == 1
    assert "token=[2Jxy" in ran.output
    assert all(character.isprintable() or character in "\n\t" for character in ran.output)


REFUSALS = [
    (2, f"domain check {NAME} --language fr", "'fr' is not one of 'en', 'de'"),
    (2, "domain check", "Missing argument 'NAME'"),
    (1, "domain check nowhere.test", 'there is no domain "nowhere.test"'),
    (1, "domain check acme.test", "has no token to publish; claim it"),
    (1, f"domain check {NAME} --as cleo@other.test", f'there is no domain "{NAME}"'),
    (1, f"domain check {NAME} --watch --as cleo@other.test", f'there is no domain "{NAME}"'),
]


@pytest.mark.parametrize(("status", "words", "text"), REFUSALS, ids=[words for _, words, _ in REFUSALS])
def test_what_cannot_be_checked_is_said(customer: Customer, status: int, words: str, text: str) -> None:
    ran = customer.stellwerk(*words.split())
    assert (ran.status, ran.output) == (status, "")
    assert text in ran.errors
    assert "Traceback" not in ran.errors


def test_a_watch_of_a_domain_in_service_ends_at_once(customer: Customer) -> None:
    customer.publish(customer.key, *MX)
    customer.stellwerk("domain", "trust", NAME)
    ran = customer.stellwerk("domain", "check", NAME, "--watch")
    assert (ran.status, ran.errors) == (0, "")
    assert [line.split("\t")[1] for line in ran.output.splitlines()][:2] == ["ownership", "mx"]


def test_a_claim_that_was_given_up_is_not_waited_for(customer: Customer) -> None:
    customer.stellwerk("domain", "give-up", NAME)
    ran = customer.stellwerk("domain", "check", NAME, "--watch")
    assert ran.status == 1
    assert "Traceback" not in ran.errors
    assert "is revoked" in ran.errors


@pytest.mark.parametrize("extra", [(), ("--json",)], ids=["lines", "json"])
def test_ctrl_c_ends_a_watch_with_status_1_and_a_sentence(customer: Customer, extra: tuple[str, ...]) -> None:
    async def interrupted() -> tuple[int, str, str]:
        arguments = ("domain", "check", NAME, "--watch", *extra, "--config", str(customer.config))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*HEEDING_SIGINT, STELLWERK, *arguments, stdout=pipe, stderr=pipe)
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            first = await process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, (first + rest).decode(), errors.decode()

    status, output, errors = asyncio.run(interrupted())
    assert (status, errors) == (1, "stopped; the gateway goes on looking by itself\n")
    if extra:
        assert json.loads(output.splitlines()[0])["asked_for_look"] is False
    else:
        assert output.splitlines()[0].split("\t")[1:4] == ["ownership", "required", "fail"]


def test_on_a_terminal_the_whole_picture_is_drawn(customer: Customer) -> None:
    customer.publish(customer.key, OLD_MX)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 160, 0, 0))
    arguments = ("domain", "check", NAME, "--watch", "--config", str(customer.config))
    surroundings = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [*HEEDING_SIGINT, STELLWERK, *arguments], stdout=theirs, stderr=theirs, env=surroundings
    ) as process:
        os.close(theirs)
        seen = _read(ours, until=b"looks next at")
        process.send_signal(signal.SIGINT)
        seen += _read(ours)
        assert process.wait(PATIENCE_SECONDS) == 1
    os.close(ours)
    assert b"Traceback" not in seen
    for text in (b"required", b"mail.oldhost.test", b"pass", b"fail", b"1800 s", b"stopped; the gateway"):
        assert text in seen


def _read(terminal: int, until: bytes = b"") -> bytes:
    """What is drawn, until that comes or nobody has the other end open any more."""
    seen = b""
    while not (until and until in seen):
        ready, _, _ = select.select([terminal], [], [], PATIENCE_SECONDS)
        assert ready, seen.decode(errors="replace")
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # EIO
            break
    return seen
