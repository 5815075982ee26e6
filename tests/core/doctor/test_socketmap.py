"""What doctor says of the socketmap while no gateway runs; a running one is asked in tests/integration/postfix."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import read
from gateway.doctor.socketmap import socketmap_findings

CONFIG = """\
[server]
state_dir = "{directory}"
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
"""


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", []),
        ('[socketmap]\naddress = "127.0.0.1:10030"', []),
        ('[socketmap]\naddress = "unix:/run/stellwerk/socketmap"', []),
        ('[socketmap]\naddress = "0.0.0.0:10030"', ["warning"]),
    ],
)
def test_whoever_asks_learns_who_exists(tmp_path: Path, section: str, expected: list[str]) -> None:
    config = read(CONFIG.format(directory=tmp_path) + section)
    assert [status for status, _ in socketmap_findings(config)] == expected
