"""A customer with a domain, people and a team, added while the gateway runs; then one of the people leaves."""

from __future__ import annotations

from gateway.cli.demo.scene import Scene
from gateway.cli.demo.stage import SENDER, Stage

_DOMAIN = "acme.test"
_ANNA, _BO, _TEAM, _ALIAS = (f"{local}@{_DOMAIN}" for local in ("anna", "bo", "team", "info"))
_STRANGER = "somebody@foreign.test"
_OWNER = "eva@home.test"


def _added(stage: Stage) -> None:
    stage.run("stellwerk", "organisation", "add", "acme")
    stage.run("stellwerk", "context", "add", "sales")
    stage.run("stellwerk", "domain", "add", _DOMAIN, "--contact", _OWNER)
    both = ("--to", _BO, "--to", _STRANGER)
    refused = stage.run("stellwerk", "send", "--from", SENDER, *both, "hello.eml", beginning_with="> MAIL")
    stage.claim(
        "550 for both: a domain that nobody has proven or vouched for is as foreign as any other",
        refused.status == 1 and refused.output.count("< 550 5.7.1 relaying denied") == both.count("--to"),
    )
    stage.run("stellwerk", "domain", "trust", _DOMAIN)
    stage.run("stellwerk", "user", "add", _ANNA, "--name", "Anna Berg", "--mailbox")
    stage.run("stellwerk", "user", "add", _BO, "--name", "Bo Dahl", "--mailbox")
    stage.run("stellwerk", "mailbox", "add", _TEAM, "--kind", "shared", "--owner", _ANNA)
    stage.run("stellwerk", "member", "add", _TEAM, _BO)
    stage.run("stellwerk", "alias", "add", _ALIAS, _TEAM)
    sent = stage.send_until(f"< 250 2.0.0 delivered to {_TEAM}", _ALIAS, "hello.eml")
    stage.claim("once it is trusted its mail is taken, without a restart", sent.status == 0)
    stage.claim("what is for the alias lies in the team's mailbox", len(stage.mail_of(_TEAM)) == 1)


def _left(stage: Stage) -> None:
    gone = stage.run("stellwerk", "user", "deactivate", _BO, "--deputy", _ANNA)
    stage.claim("what Bo could read is closed to him", f"membership.end {_TEAM} {_BO}" in gone.output)
    sent = stage.send_until(f"< 250 2.0.0 delivered to {_ANNA}", _BO, "hello.eml")
    stage.claim("mail for Bo lies in Anna's mailbox", sent.status == 0 and len(stage.mail_of(_ANNA)) == 1)
    stage.claim(
        "the trace names the station that sent it on, and why",
        f"{_BO}: core 'successor' (its owner has left) -> {_ANNA}" in sent.output,
    )
    log = stage.run("stellwerk", "directory", "log", "--name", _BO, "--last", "3")
    stage.claim(
        "the audit says who ended what, when, and since when Bo had had it",
        [line.split("\t")[2] for line in log.output.splitlines()]
        == ["membership.end", "person.deactivate", "membership.add"],
    )


ADDED = Scene(
    "A domain, its people and a team are added",
    "The directory is kept in the database and changed by commands, which the running gateway sees within a second.",
    _added,
)
LEFT = Scene(
    "Somebody leaves",
    "Bo goes, and Anna stands in. Mail for Bo is neither lost nor refused, and nothing of what was is forgotten.",
    _left,
)
