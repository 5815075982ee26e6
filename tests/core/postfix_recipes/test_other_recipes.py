"""Values of after-queue-smtp, before-queue-proxy, edge and off, and what these say when something is missing."""

from __future__ import annotations

import tomllib

import pytest

from gateway.config import Config, read
from gateway.postfix_recipes.after_queue_smtp import AfterQueueSmtp
from gateway.postfix_recipes.before_queue_proxy import BeforeQueueProxy
from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.edge import Edge
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.recipe import Recipe, RecipeUnavailable, parts

FILTER = 'protocol = "smtp"\nrole = "filter"\naddress = "127.0.0.1:2424"\ntrusted_peers = ["127.0.0.1"]\n'
PROXY = 'role = "proxy"\naddress = "127.0.0.1:2425"\ntrusted_peers = ["127.0.0.1"]\n'
MX = 'role = "inbound"\naddress = "192.0.2.1:25"\n'


def config(listener: str, back: str = "127.0.0.1:2526") -> Config:
    return read(
        f'[[listener]]\nname = "one"\n{listener}[next_hop.back]\nkind = "smtp"\naddress = "{back}"\n'
        '[routing]\nhosted = "back"\n[limits]\nmax_message_bytes = 500_000\n'
    )


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        (FILTER, AfterQueueSmtp("127.0.0.1:2424", "127.0.0.1:2526", 500_000)),
        (PROXY, BeforeQueueProxy("127.0.0.1:2425", "127.0.0.1:2526", 500_000)),
        (
            PROXY.replace("127.0.0.1:2425", "unix:/run/p") + "transaction_deadline_seconds = 20\n",
            BeforeQueueProxy("unix:/run/p", "127.0.0.1:2526", 500_000, deadline_seconds=20),
        ),
        (MX, Edge("192.0.2.1:25", "127.0.0.1:2526", 500_000)),
    ],
)
def test_values_come_from_the_configuration_and_lead_to_it(listener: str, expected: Recipe) -> None:
    assert type(expected).fitting(config(listener)) == expected
    part = parts(expected.render())["stellwerk.toml"]
    assert tomllib.loads(part)["limits"] == {"max_message_bytes": 500_000}
    assert type(expected).fitting(read(part)) == expected


def test_gateway_and_postfix_on_two_hosts() -> None:
    found = Edge.fitting(config(MX, back="192.0.2.2:10026"), from_address="192.0.2.1")
    printed = parts(found.render())
    assert "-o mynetworks=192.0.2.1/32\n" in printed["master.cf"]
    assert "inet_interfaces" not in printed["commands"]
    assert "let a firewall close that port" in printed["apply"]


@pytest.mark.parametrize(
    ("recipe", "listener", "options", "complaint"),
    [
        (AfterQueueSmtp, MX, {}, 'no [[listener]] has protocol = "smtp", role = "filter", direction = "inbound"'),
        (AfterQueueSmtp, FILTER.replace("127.0.0.1:2424", "unix:/run/s"), {}, "choose after-queue-lmtp"),
        (BeforeQueueProxy, MX, {}, 'no [[listener]] has protocol = "smtp", role = "proxy"'),
        (BeforeQueueProxy, f"{PROXY}transaction_deadline_seconds = 120\n", {}, "set its transaction_deadline_seconds"),
        (BeforeQueueProxy, PROXY, {"service": "smtp"}, 'found the service "smtp"; expected a name of `postconf -M`'),
        (Edge, FILTER, {}, 'role = "inbound"'),
        (Edge, MX.replace("192.0.2.1", "0.0.0.0"), {}, "name the address that the MX record leads to"),
        (Edge, MX, {"from_address": "192.0.2.9"}, "leave --from-address out"),
        (Off, PROXY, {"service": "smtp"}, 'found the service "smtp"; expected a name of `postconf -M`'),
    ],
)
def test_what_does_not_fit_is_said(
    recipe: type[Recipe], listener: str, options: dict[str, str], complaint: str
) -> None:
    with pytest.raises(RecipeUnavailable) as error:
        recipe.fitting(config(listener), **options)
    assert complaint in str(error.value)


def test_address_that_is_none() -> None:
    with pytest.raises(RecipeUnavailable, match='--from-address is "gw"; expected an IP address'):
        Edge.fitting(config(MX, back="192.0.2.2:10026"), from_address="gw")


def test_off_takes_out_what_fits_by_its_own_ports_and_says_what_it_takes_out_by_the_standard_ones() -> None:
    text = Off.fitting(config(PROXY), service="smtpd/pass").render()
    about, _, rest = text.partition("#==== commands ====\n")
    assert "postconf -MX 127.0.0.1:2526/inet" in rest
    assert "'smtpd/pass/smtpd_proxy_filter = 127.0.0.1:2425'" in rest
    named = [line.removeprefix("#   ") for line in about.splitlines() if line.startswith("#   ")]
    assert named == [recipe.name for recipe in CATALOGUE if recipe is not BeforeQueueProxy]
    standard = {"'stellwerk:.*'", "127.0.0.1:10026/inet", "'192.0.2.25'", "inet_interfaces"}
    assert {piece for piece in standard if piece not in rest} == set()


@pytest.mark.parametrize("routing", ['hosted = "store"', 'hosted = "back"'], ids=["no smtp next hop", "a socket"])
def test_off_takes_out_all_recipes_where_none_fits(routing: str) -> None:
    """An administrator at night, with a configuration that is half taken down already."""
    text = Off.from_config(
        read(
            '[[listener]]\nname = "mx"\naddress = "127.0.0.1:2525"\n[next_hop.back]\nkind = "smtp"\n'
            'address = "unix:/run/back"\n[next_hop.store]\nkind = "maildir"\npath = "{domain}/{local}"\n'
            f"[routing]\n{routing}\n"
        )
    ).render()
    assert parts(text) == parts(Off().render())
    assert [line for line in text.splitlines() if line.startswith("#   ")][: len(CATALOGUE)] == [
        f"#   {recipe.name}" for recipe in CATALOGUE
    ]


def test_off_on_the_standard_ports_names_nothing_that_does_not_fit() -> None:
    assert "do not fit" not in Off().render()


@pytest.mark.parametrize("recipe", [AfterQueueSmtp, BeforeQueueProxy, Edge])
def test_message_larger_than_a_mailbox_of_postfix(recipe: type[Recipe]) -> None:
    sized = recipe.fitting(config({AfterQueueSmtp: FILTER, BeforeQueueProxy: PROXY, Edge: MX}[recipe]))
    assert "virtual_mailbox_limit" not in sized.render()
    large = type(sized)(max_message_bytes=60_000_000)  # type: ignore[call-arg]
    assert "virtual_mailbox_limit" in large.render()
