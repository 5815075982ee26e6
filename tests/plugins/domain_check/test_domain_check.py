"""domain_check through the real loader and a real DNS server: what is asked, what is answered, what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stellwerk_plugins.domain_check.config import DomainCheckSettings

from gateway.config import read
from gateway.errors import ConfigError
from gateway.mail.address import Address
from gateway.mail.envelope import Role
from gateway.mail.reply import Reply
from gateway.testing.dns_server import Behaviour, DnsServer, Record
from tests.hooks.walk import CONFIG, Loaded, loaded, session

RECORDS: list[Record] = [
    ("good.test", "MX", "10 mx.good.test.", 300),
    ("mx.good.test", "A", "192.0.2.1", 300),
    ("host.test", "A", "192.0.2.2", 300),
    ("null.test", "MX", "0 .", 300),
    ("private.test", "MX", "10 mx.private.test.", 300),
    ("mx.private.test", "A", "10.0.0.1", 300),
    ("ours.test", "MX", "10 mx1.gateway.test.", 300),
    ("mx1.gateway.test", "A", "192.0.2.10", 300),
    ("evil.test", "MX", '10 evil\\010250-host.test.', 300),
    ("xn--bcher-kva.test", "A", "192.0.2.3", 300),
]  # fmt: skip
BROKEN: Mapping[str, Behaviour] = {"broken.test/*": "SERVFAIL"}


@asynccontextmanager
async def checked(settings: str = "", records: list[Record] = RECORDS) -> AsyncIterator[tuple[Loaded, DnsServer]]:
    async with DnsServer(records, BROKEN) as server:
        tables = (
            f'[dns]\nnameservers = ["{server.address}"]\ntreat_as_public = ["192.0.2.0/24"]\n'
            f'[routing]\noutbound = "postfix"\n[plugin.domain_check]\n{settings}\n'
        )
        async with loaded("domain_check", tables=tables) as walk:
            yield walk, server


async def mail(walk: Loaded, sender: str, role: Role = "inbound") -> tuple[Reply | None, dict[str, Any]]:
    """What MAIL FROM is answered, and the tags it leaves."""
    address = Address.parse(sender) if sender else None
    transaction, refusal = await walk.mail(address, session(role))
    return refusal, {name.removeprefix("domain_check."): value for name, value in transaction.tags.items()}


async def rcpt(walk: Loaded, recipient: str, role: Role = "filter") -> tuple[Reply, dict[str, Any]]:
    transaction, _ = await walk.mail(None, session(role))
    reply = await walk.rcpt(transaction, recipient)
    return reply, dict(transaction.tags)


SENDERS = [
    ("a@good.test", None, "accept", "mx"),
    ("a@host.test", None, "accept", "implicit_mx"),
    ("a@Bücher.test", None, "accept", "implicit_mx"),
    ("a@nowhere.test", "550 5.1.8", "reject", "no_such_domain"),
    ("a@private.test", "550 5.1.8", "reject", "nothing_usable"),
    ("a@null.test", "550 5.7.27", "reject", "null_mx"),
    ("a@broken.test", "450 4.1.8", "defer", "dns_error"),
    ("a@localhost", "550 5.1.8", "reject", "not_in_dns"),
    ("a@ours.test", None, "accept", "mx"),
]


@pytest.mark.parametrize(("sender", "reply", "outcome", "cause"), SENDERS)
async def test_senders_on_an_inbound_listener(sender: str, reply: str | None, outcome: str, cause: str) -> None:
    async with checked() as (walk, _):
        refusal, tags = await mail(walk, sender)
        if reply is None:
            assert refusal is None
        else:
            assert str(refusal).startswith(f"{reply} ")
        assert (tags["sender_domain"], tags["sender_domain_cause"]) == (outcome, cause)
        assert ("sender_domain_reason" in tags) == (outcome != "accept")


@pytest.mark.parametrize(("sender", "reply", "outcome", "cause"), SENDERS)
async def test_behind_a_queue_senders_only_leave_tags(sender: str, reply: str | None, outcome: str, cause: str) -> None:
    async with checked() as (walk, _):
        refusal, tags = await mail(walk, sender, "filter")
        assert refusal is None
        assert (tags["sender_domain"], tags["sender_domain_cause"]) == (outcome, cause)
        assert ("sender_domain_reason" in tags) == (reply is not None)


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("a@good.test", "250 2.1.5"),
        ("a@host.test", "250 2.1.5"),
        ("a@nowhere.test", "550 5.1.2"),
        ("a@private.test", "550 5.1.2"),
        ("a@null.test", "556 5.1.10"),
        ("a@broken.test", "450 4.1.2"),
        ("a@ours.test", "554 5.4.6"),
    ],
)
async def test_recipients_outside(recipient: str, reply: str) -> None:
    async with checked() as (walk, _):
        walk_reply, tags = await rcpt(walk, recipient)
        assert str(walk_reply).startswith(f"{reply} ")
        assert ("domain_check.recipient_domain_reason" in tags) == (not walk_reply.is_accept)


@pytest.mark.parametrize(
    ("settings", "sender", "reply"),
    [
        ('unknown_sender_domain = "defer"', "a@nowhere.test", "450 4.1.8"),
        ('unknown_sender_domain = "defer"', "a@private.test", "450 4.1.8"),
        ('unknown_sender_domain = "defer"', "a@null.test", "550 5.7.27"),
        ('unknown_sender_domain = "defer"', "a@localhost", "550 5.1.8"),
        ('unknown_sender_domain = "reject"', "a@nowhere.test", "550 5.1.8"),
    ],
)
async def test_the_first_week(settings: str, sender: str, reply: str) -> None:
    async with checked(settings) as (walk, _):
        refusal, _ = await mail(walk, sender)
        assert str(refusal).startswith(f"{reply} ")


async def test_the_first_week_is_about_senders_only() -> None:
    async with checked('unknown_sender_domain = "defer"') as (walk, _):
        reply, _ = await rcpt(walk, "a@nowhere.test")
        assert reply.code == 550


@pytest.mark.parametrize(
    ("settings", "sender", "recipient"),
    [
        pytest.param("", "", "anna@example.test", id="null sender, hosted recipient"),
        pytest.param("", "anna@example.test", "bo@example.test", id="both hosted"),
        pytest.param("", "nobody@example.test", "nobody@example.test", id="hosted domain, whoever it is"),
        pytest.param("", "postmaster@gw.example.org", "postmaster@gw.example.org", id="our own postmaster"),
        pytest.param(
            "check_senders = false\ncheck_recipients = false", "a@nowhere.test", "a@nowhere.test", id="switched off"
        ),
        pytest.param('skip_domains = ["Nowhere.test."]', "a@nowhere.test", "a@NOWHERE.test", id="skipped"),
        pytest.param('skip_domains = [".nowhere.test"]', "a@b.nowhere.test", "a@c.b.nowhere.test", id="skipped below"),
    ],
)
async def test_no_dns_for_what_needs_none(settings: str, sender: str, recipient: str) -> None:
    async with checked(settings) as (walk, server):
        for role in ("inbound", "filter"):
            refusal, tags = await mail(walk, sender, role)
            assert (refusal, tags) == (None, {})
            await rcpt(walk, recipient, role)
        assert server.queries == []


async def test_a_dot_in_front_skips_only_what_is_below() -> None:
    async with checked('skip_domains = [".nowhere.test"]') as (walk, _):
        refusal, _ = await mail(walk, "a@nowhere.test")
        assert refusal is not None
        refusal, _ = await mail(walk, "a@not-nowhere.test")
        assert refusal is not None


async def test_an_open_relay_probe_costs_no_look_up_and_learns_nothing() -> None:
    async with checked() as (walk, server):
        reply, tags = await rcpt(walk, "a@nowhere.test", "inbound")
        assert str(reply) == "550 5.7.1 relaying denied"
        assert tags == {}
        assert server.queries == []


async def test_the_trace_quotes_the_dns_and_the_client_is_not_told() -> None:
    async with checked() as (walk, _):
        refusal, tags = await mail(walk, "a@evil.test")
        assert "evil\\010250-host.test" in tags["sender_domain_reason"]
        assert tags["sender_domain_reason"].isprintable()
        assert "250-host" not in str(refusal)

        transaction, _ = await walk.mail(None, session("filter"))
        reply = await walk.rcpt(transaction, "a@evil.test")
        assert "250-host" not in str(reply)
        event = transaction.events[-1]
        assert event["reply"] == str(reply)
        assert "recipient_domain_reason=evil.test MX: 10 evil" in str(event["hooks"])


async def test_one_look_up_serves_many_messages() -> None:
    async with checked() as (walk, server):
        for _ in range(5):
            assert (await mail(walk, "a@good.test"))[0] is None
        assert server.count("good.test", "MX") == 1


async def test_a_broken_plugin_is_a_deferral(monkeypatch: pytest.MonkeyPatch) -> None:
    async with checked() as (walk, _):

        async def mail_domain(domain: str, role: str) -> None:
            raise RuntimeError(f"{domain} {role}")

        plugin = walk.plugins.get("domain_check")
        assert plugin is not None
        monkeypatch.setattr(plugin.instance.services.dns, "mail_domain", mail_domain)
        refusal, _ = await mail(walk, "a@good.test")
        assert str(refusal) == "451 4.3.0 local processing failed, try again later"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('unknown_sender_domain = "ignore"', "unknown_sender_domain"),
        ('skip_domains = ["a..b"]', "the domain is malformed"),
        ("check_senders = 1", "check_senders"),
        ("check_sender = true", "check_sender"),
    ],
)
async def test_wrong_settings_name_file_and_line(settings: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with checked(settings):
            pass
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("test.toml:")
    assert problem in caught.value.problems[0]


def test_the_readmes_example_is_right() -> None:
    readme = Path(__file__).parents[3] / "plugins/stellwerk_plugins/domain_check/README.md"
    example = readme.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    config = read(CONFIG.format(plugins='"domain_check"', tables=example))
    settings = DomainCheckSettings.model_validate(config.plugin["domain_check"])
    assert settings.unknown_sender_domain == "defer"
    assert settings.skips("partner.example")
    assert settings.skips("a.intern.example")
    assert not settings.skips("intern.example")
