"""The text of the recipe after-queue-lmtp. That Postfix works with it is tested in tests/integration/postfix."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.postfix import postfix
from gateway.config import read
from gateway.postfix_recipes.after_queue import Aliases
from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.recipe import RecipeUnavailable, parts


def config_text(listener: str, next_hop: str, rest: str = "") -> str:
    return f'[[listener]]\n{listener}\n[next_hop.back]\n{next_hop}\n[routing]\nhosted = "back"\n{rest}'


LMTP = 'name = "queue"\nprotocol = "lmtp"\nrole = "filter"\naddress = "127.0.0.1:2424"\ntrusted_peers = ["127.0.0.1"]'
SMTP_BACK = 'kind = "smtp"\naddress = "127.0.0.1:2526"\nconnections = 40'


@pytest.mark.parametrize("aliases", ["stellwerk", "postfix"])
def test_aliases_are_switched_off_on_exactly_one_side(aliases: Aliases) -> None:
    printed = parts(AfterQueueLmtp(aliases=aliases).render())
    settings = {
        name: [line for line in printed[name].splitlines() if "no_address_mappings" in line and line[0] != "#"]
        for name in ("main.cf", "master.cf")
    }
    off_in, on_in = ("main.cf", "master.cf") if aliases == "stellwerk" else ("master.cf", "main.cf")
    assert (len(settings[off_in]), len(settings[on_in])) == (1, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            AfterQueueLmtp(gateway="127.0.0.1:2424", reinjection="127.0.0.1:2526", max_message_bytes=1_000_000),
            {"content_filter = stellwerk:[127.0.0.1]:2424", "127.0.0.1:2526 inet", "message_size_limit = 1000000"},
        ),
        (
            AfterQueueLmtp(gateway="unix:/run/stellwerk/lmtp.sock"),
            {"content_filter = stellwerk:unix:/run/stellwerk/lmtp.sock", "usermod -a -G"},
        ),
        (
            AfterQueueLmtp(gateway="[::1]:2424", reinjection="[::1]:2526"),
            {"content_filter = stellwerk:[::1]:2424", "[::1]:2526 inet", "mynetworks=[::1]/128"},
        ),
        (
            AfterQueueLmtp(gateway="localhost:2424", reinjection="localhost:2526"),
            {"content_filter = stellwerk:[localhost]:2424", "mynetworks=127.0.0.0/8,[::1]/128"},
        ),
        (AfterQueueLmtp(connections=40), {"127.0.0.1:10026 inet n - n - 50 smtpd", "connections = 40"}),
    ],
)
def test_values_reach_the_text(values: AfterQueueLmtp, expected: set[str]) -> None:
    text = values.render()
    assert {piece for piece in expected if piece not in text} == set()


@pytest.mark.parametrize(
    "values",
    [
        AfterQueueLmtp(),
        AfterQueueLmtp(gateway="unix:/run/stellwerk/lmtp.sock"),
        AfterQueueLmtp(gateway="[::1]:2424", reinjection="[::1]:2526", connections=5, max_message_bytes=100_000),
    ],
)
def test_part_for_the_gateway_leads_to_the_same_recipe(values: AfterQueueLmtp) -> None:
    part = parts(values.render())["stellwerk.toml"]
    assert tomllib.loads(part)["limits"] == {"max_message_bytes": values.max_message_bytes}
    assert AfterQueueLmtp.fitting(read(part)) == values


def test_values_come_from_the_configuration() -> None:
    config = read(config_text(LMTP, SMTP_BACK, "[limits]\nmax_message_bytes = 500_000"))
    assert AfterQueueLmtp.fitting(config, "postfix") == AfterQueueLmtp(
        "127.0.0.1:2424", "127.0.0.1:2526", 500_000, 40, "postfix"
    )


def test_listeners_own_size_limit_comes_first() -> None:
    config = read(config_text(f"{LMTP}\nmax_message_bytes = 300_000", SMTP_BACK))
    assert AfterQueueLmtp.fitting(config).max_message_bytes == 300_000


@pytest.mark.parametrize(
    ("listener", "next_hop", "complaint"),
    [
        (LMTP.replace('"lmtp"', '"smtp"'), SMTP_BACK, 'no [[listener]] has protocol = "lmtp", role = "filter"'),
        (LMTP, 'kind = "maildir"\npath = "{domain}/{local}"', '"back" (maildir), and neither is an smtp next hop'),
        (LMTP, 'kind = "smtp"\naddress = "192.0.2.1:25"', "the next hop back to Postfix has the address 192.0.2.1:25"),
        (
            LMTP,
            'kind = "smtp"\naddress = "mx.example:25"',
            "the next hop back to Postfix has the address mx.example:25",
        ),
        (LMTP, 'kind = "smtp"\naddress = "unix:/run/back"', "smtpd wants a port here"),
        (LMTP.replace("2424", "0"), SMTP_BACK, "wants a fixed port"),
    ],
)
def test_what_is_missing_is_said_in_one_line(listener: str, next_hop: str, complaint: str) -> None:
    config = read(config_text(listener, next_hop))
    with pytest.raises(RecipeUnavailable) as error:
        AfterQueueLmtp.fitting(config)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 2


def test_command_reads_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "stellwerk.toml"
    file.write_text(config_text(LMTP, SMTP_BACK))
    result = CliRunner().invoke(postfix, ["recipe", "after-queue-lmtp", "--config", str(file)])
    assert result.exit_code == 0
    assert result.output == AfterQueueLmtp("127.0.0.1:2424", "127.0.0.1:2526", connections=40).render()
