"""The text of `stellwerk dovecot recipe`. That Dovecot works with it is tested in tests/integration/dovecot."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.dovecot import dovecot
from gateway.dovecot_recipes.one_password import OnePassword
from gateway.postfix_recipes.recipe import parts

CONTRIB = Path(__file__).parents[3] / "contrib" / "dovecot"
_CONFIG = """\
[server]
{account}
[store]
url = "{url}"
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
"""


def test_shipped_files_are_what_is_printed() -> None:
    shipped = {name: values.render() for name, values in OnePassword.shipped().items()}
    assert shipped == {path.name: path.read_text() for path in CONTRIB.glob("one-password-*.txt")}


@pytest.mark.parametrize("values", OnePassword.shipped().values(), ids=OnePassword.shipped())
def test_text_can_be_pasted(values: OnePassword) -> None:
    printed = parts(values.render())
    for name in ("apply", "check", "back"):
        assert all(line.startswith("#") or not line for line in printed[name].splitlines())
    assert max(map(len, values.render().splitlines())) <= 120


@pytest.mark.parametrize(
    ("url", "account", "expected", "absent"),
    [
        (
            "sqlite:////srv/mail/s.db",
            'user = "mailgw"',
            ["connect = /srv/mail/s.db\n", "user = mailgw\n"],
            "postgresql",
        ),
        ("sqlite:////srv/mail/s.db", "", ["service auth-worker {\n  user = stellwerk\n"], "CREATE ROLE"),
        (
            "postgresql://gw:s3cret@db.example.test:5433/mail",
            "",
            ["connect = host=db.example.test port=5433 dbname=mail user=dovecot password=CHANGE-THIS\n", "psql mail <"],
            "s3cret",
        ),
        ("postgresql:///mail", "", ["connect = host=/run/postgresql dbname=mail user=dovecot"], "auth-worker"),
        ("postgresql://gw@/mail?host=/srv/pg", "", ["connect = host=/srv/pg dbname=mail user=dovecot"], "auth-worker"),
    ],
)
def test_values_come_from_the_configuration(
    tmp_path: Path, url: str, account: str, expected: list[str], absent: str
) -> None:
    file = tmp_path / "stellwerk.toml"
    file.write_text(_CONFIG.format(url=url, account=account))
    result = CliRunner().invoke(dovecot, ["recipe", "--config", str(file)])
    assert result.exit_code == 0
    assert [piece for piece in expected if piece not in result.output] == []
    assert absent not in result.output
