"""The settings of a next hop reach the wire, and the examples in its page of the documentation are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.app import Gateway, next_hops
from gateway.config import read
from gateway.delivery.transport import Outcome
from gateway.doctor.checks import examine
from gateway.errors import StartupError
from gateway.testing.sink import KEYWORDS, Sink
from tests.core.delivery.batches import batch, soon
from tests.core.delivery.certificates import NAME, ca_file, client_files, server

PAGE = Path(__file__).parents[3] / "docs" / "admin" / "next-hops.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
REST = """
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[server]
state_dir = "{directory}"
[store]
url = "sqlite:///{directory}/test.db"
auto_upgrade = true
"""


def password_file(directory: Path, mode: int = 0o600) -> Path:
    path = directory / "password"
    path.write_text("secret\n")
    path.chmod(mode)
    return path


async def test_every_setting_of_a_smart_host_reaches_the_wire(tmp_path: Path) -> None:
    certificate, key = client_files(tmp_path)
    async with Sink(tls=server(NAME), users={"gw": "secret"}, keywords=(*KEYWORDS, "CHUNKING")) as sink:
        config = read(
            f"""{REST.format(directory=tmp_path)}
            [routing]
            hosted = "out"
            [next_hop.out]
            kind = "smtp"
            address = "127.0.0.1:1"
            fallback_addresses = ["{sink.address}"]
            tls = "required"
            tls_name = "{NAME}"
            tls_ca_file = "{ca_file(tmp_path)}"
            tls_certificate = "{certificate}"
            tls_key = "{key}"
            user = "gw"
            password_file = "{password_file(tmp_path)}"
            chunking = "always"
            """,
            "s.toml",
        )
        hop = next_hops(config)["out"]
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE, result
        (message,) = sink.messages
        assert (message.tls, message.login, len(message.chunks)) == ("TLSv1.3", "gw", 1)
        await hop.close()


@pytest.mark.parametrize("role", ["smtp", "desk"])
async def test_a_password_that_others_can_read_refuses_to_start(tmp_path: Path, role: str) -> None:
    config = read(
        f"""{REST.format(directory=tmp_path)}
        [routing]
        hosted = "out"
        [next_hop.out]
        kind = "smtp"
        address = "127.0.0.1:1"
        user = "gw"
        password_file = "{password_file(tmp_path, 0o644)}"
        """,
        "s.toml",
    )
    gateway = Gateway(config, role="desk" if role == "desk" else "smtp")
    with pytest.raises(StartupError, match=r"^next_hop\.out\.password_file: .* can be read by others .* chmod 600 "):
        await gateway.start()
    await gateway.stop()


async def next_hop_findings(directory: Path, *lines: str) -> list[str]:
    """What doctor says of the next hops, each with its status."""
    hop = '[routing]\nhosted = "out"\n[dns]\nnameservers = ["127.0.0.1:1"]\n[next_hop.out]\nkind = "smtp"\n'
    found = await examine(read(REST.format(directory=directory) + hop + "\n".join(lines) + "\n", "s.toml"))
    return [f"{one.status}: {one.text}" for one in found if one.check == "next hops"]


async def test_doctor_asks_as_mail_is_handed_over(tmp_path: Path) -> None:
    async with Sink(tls=server(), users={"gw": "secret"}) as sink:
        tls = ['tls = "required"', f'tls_ca_file = "{ca_file(tmp_path)}"', 'user = "gw"']
        login = f'password_file = "{password_file(tmp_path)}"'
        right = await next_hop_findings(tmp_path, f'address = "{sink.address}"', *tls, login)
        assert right[0].startswith(f"ok: next hop out answers: smtp {sink.address} (TLSv1.3 TLS_")
        assert right[0].endswith(", verified)")

        other = f'fallback_addresses = ["{sink.address}"]'
        one_down = await next_hop_findings(tmp_path, 'address = "127.0.0.1:1"', other, *tls, login)
        assert one_down[0].startswith('warning: next hop "out" at 127.0.0.1:1 takes no mail: Connection refused')
        assert one_down[1].startswith("ok: next hop out answers")

        (tmp_path / "password").write_text("wrong")
        wrong = await next_hop_findings(tmp_path, f'address = "{sink.address}"', *tls, login)
        assert wrong[0].startswith('failed: next hop "out" at')
        assert "it does not let user 'gw' in: 535 5.7.8" in wrong[0]
        assert not any("secret" in text for text in (*right, *one_down, *wrong))


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_documentation(tmp_path: Path, example: str) -> None:
    mail = '[next_hop.mail]\nkind = "maildir"\npath = "{domain}/{local}"\n'
    config = read(REST.format(directory=tmp_path) + mail + example, "s.toml")
    assert len(config.next_hops) > 1
