"""The example plugins do what their documentation says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import read
from gateway.explain import Question, explain

EXAMPLES = Path(__file__).parents[3] / "contrib" / "examples" / "plugins"


@pytest.mark.parametrize(
    ("subject", "header"),
    [("Your INVOICE of May", ["X-Subject-Tag: invoice"]), ("Hello", []), ("", [])],
)
async def test_subject_tag(tmp_path: Path, subject: str, header: list[str]) -> None:
    config = read(f"""
plugins = ["subject_tag"]
plugin_dir = "{EXAMPLES}"
[server]
state_dir = "{tmp_path}"
[store]
url = "sqlite:///{tmp_path}/none.db"
[[listener]]
name = "mx"
address = "127.0.0.1:2525"
[next_hop.mail]
kind = "maildir"
path = "{tmp_path}/{{domain}}/{{local}}"
[hosted."example.test"]
mailboxes = ["anna"]
""")
    gateway = Gateway(config, role="cli")
    try:
        content = f"Subject: {subject}\r\n\r\nhello\r\n".encode()
        told = await explain(gateway, Question(None, ["anna@example.test"], content))
    finally:
        await gateway.stop()
    assert told.reply.is_accept
    assert told.plan is not None
    assert [line for line in told.plan.edits.prepend if not line.startswith("X-Stellwerk-")] == header
