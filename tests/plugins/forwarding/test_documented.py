"""Every example of docs/admin/forwarding.md is loaded and run, and comes to what its table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stellwerk_plugins.forwarding.config import ForwardingSettings

from gateway.config import load
from gateway.mail.address import Address
from gateway.mail.envelope import Client
from gateway.planning import Planned
from gateway.routing.route import Discard
from tests.hooks import walk
from tests.hooks.walk import loaded, session, steps
from tests.plugins.forwarding.test_forwarding import way
from tests.plugins.size_limit.test_attachments import PDF, base64_lines, mixed

CHECKOUT = Path(__file__).parents[3]
PAGE = (CHECKOUT / "docs/admin/forwarding.md").read_text(encoding="utf-8")
README = (CHECKOUT / "plugins/stellwerk_plugins/forwarding/README.md").read_text(encoding="utf-8")
DEMO = CHECKOUT / "gateway/cli/demo/files/conf/stellwerk.toml"

_EXAMPLE = re.compile(
    r"^## ([^\n]+)\n(?:(?!## )[^\n]*\n)*?```toml\n(.*?)```\n\n((?:\|[^\n]*\n)+)", re.MULTILINE | re.DOTALL
)
EXAMPLES = {title: (toml, table) for title, toml, table in _EXAMPLE.findall(PAGE)}


def rows(table: str) -> list[dict[str, str]]:
    heading, _, *found = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return [dict(zip(heading, row, strict=True)) for row in found]


def test_the_page_has_its_examples() -> None:
    assert PAGE.count("```toml") == len(EXAMPLES) >= 8


@pytest.mark.parametrize("title", EXAMPLES)
async def test_an_example_comes_to_what_the_page_says(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mailboxes = '["anna", "bo", "cleo", "accounts", "sales", "staff"]'
    monkeypatch.setattr(walk, "CONFIG", walk.CONFIG.replace('["anna", "bo"]', mailboxes))
    toml, table = EXAMPLES[title]
    async with loaded("size_limit", "forwarding", tables=toml) as gateway:
        for row in rows(table):
            assert result(await sent(gateway, row)) == row["result"].split(", "), row


async def sent(gateway: walk.Loaded, row: dict[str, str]) -> Planned:
    raw = f"{row.get('header', 'Subject: x')}\r\n\r\n".encode()
    if "attachment" in row:
        raw = mixed(PDF + b"\r\n" + base64_lines(b"x" * int(row["attachment"])))
    sender = None if row["from"] == "<>" else Address.parse(row["from"])
    came_by = session(client=Client(row.get("client", "192.0.2.7")))
    transaction, refusal = await gateway.mail(sender, came_by)
    assert refusal is None
    assert (await gateway.rcpt(transaction, row["to"])).is_accept
    return await gateway.data(transaction, raw)


def result(planned: Planned) -> list[str]:
    """As the tables have it."""
    return ["discarded" if isinstance(step, Discard) else way(step) for step in steps(planned.plan)]


async def test_the_readmes_example_is_right() -> None:
    async with loaded("forwarding", tables=README.partition("```toml\n")[2].partition("```")[0]) as gateway:
        planned = await gateway.send(b"Subject: rechnung\r\n\r\n")
        assert result(planned) == ["anna@example.test", "accounts@example.test"]


def test_the_readme_names_every_key() -> None:
    named = set(re.findall(r"`(\w+)`", README))
    schema = ForwardingSettings.model_json_schema()
    keys = {key for model in schema["$defs"].values() for key in model["properties"]}
    kinds = {
        model["properties"]["kind"]["const"] for model in schema["$defs"].values() if "kind" in model["properties"]
    }
    assert keys | kinds <= named


def test_the_rules_of_the_demo_are_right() -> None:
    rules = ForwardingSettings.model_validate(load(DEMO).plugin["forwarding"]).rule
    assert [rule.id for rule in rules] == ["invoices", "team"]
