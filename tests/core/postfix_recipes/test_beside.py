"""The recipes that stand beside after-queue-*: where their values come from, and what is said when one is missing."""

from __future__ import annotations

import pytest

from gateway.config import read
from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.beside_rspamd import BesideRspamd
from gateway.postfix_recipes.outbound_apart import OutboundApart
from gateway.postfix_recipes.own_mail_signed import OwnMailSigned
from gateway.postfix_recipes.recipe import Recipe, RecipeUnavailable, parts
from gateway.postfix_recipes.submission import Submission

QUEUE = parts(AfterQueueLmtp().render())["stellwerk.toml"]


def appended(values: Recipe) -> str:
    return f"{QUEUE}\n{parts(values.render())['stellwerk.toml']}"


@pytest.mark.parametrize(
    "values",
    [
        OutboundApart(),
        OutboundApart("unix:/run/stellwerk/out.sock", "submission/inet"),
        Submission("[::1]:2428", "submissions/inet,submission/inet", "smtpd/pass"),
    ],
)
def test_part_for_the_gateway_leads_to_the_same_recipe(values: OutboundApart | Submission) -> None:
    choices = {choice.field: getattr(values, choice.field) for choice in values.choices}
    assert type(values).fitting(read(appended(values)), **choices) == values


def test_rspamd_beside_the_listener_that_is_there() -> None:
    values = BesideRspamd(authserv_id="mx.example.test")
    listener = parts(values.render())["stellwerk.toml"]
    assert 'trusted_authserv_ids = ["mx.example.test"]' in listener
    rest = QUEUE[QUEUE.index("[next_hop.postfix]") :]
    assert BesideRspamd.fitting(read(f"{listener}\n{rest}")) == values


def test_own_mail_by_the_hop_that_routing_names() -> None:
    hop = parts(OwnMailSigned(connections=5).render())["stellwerk.toml"].partition("\n[routing]\n")[0]
    config = read(QUEUE.replace('own = "postfix"', 'own = "signing"') + hop)
    assert OwnMailSigned.fitting(config) == OwnMailSigned(connections=5)


@pytest.mark.parametrize(
    ("recipe", "config", "complaint"),
    [
        (OutboundApart, QUEUE, 'protocol = "lmtp", role = "filter", direction = "outbound"'),
        (Submission, QUEUE, "127.0.0.1:10028"),
        (OwnMailSigned, QUEUE, 'own mail goes the way of all mail: [routing] own names "postfix"'),
        (BesideRspamd, QUEUE.replace('"inbound"', '"outbound"'), 'has role = "filter", direction = "inbound"'),
    ],
)
def test_what_is_missing_is_said_in_one_line(recipe: type[Recipe], config: str, complaint: str) -> None:
    with pytest.raises(RecipeUnavailable) as error:
        recipe.fitting(read(config))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("recipe", "values", "complaint"),
    [
        (OutboundApart, {"senders": "submission"}, 'found the service "submission"'),
        (OutboundApart, {"senders": "pickup/unix,'x/inet"}, 'found the service "\'x/inet"'),
        (OutboundApart, {"gateway": "192.0.2.1:10028"}, "the outbound listener has the address 192.0.2.1:10028"),
        (Submission, {"submission": "587"}, 'found the service "587"'),
        (Submission, {"submission": "submission/inet,465"}, 'found the service "465"'),
        (Submission, {"service": "25"}, 'found the service "25"'),
        (Submission, {"submission": "smtp/inet"}, "smtp/inet is named as the service for the world and as one that"),
        (BesideRspamd, {"rspamd": "127.0.0.1:11332"}, 'found the milter "127.0.0.1:11332"; expected inet:HOST:PORT'),
        (OwnMailSigned, {"milter": "inet:x; reboot"}, 'found the milter "inet:x; reboot"'),
        (OwnMailSigned, {"reinjection": "192.0.2.1:10027"}, "the next hop for own mail has the address"),
    ],
)
def test_values_that_cannot_be_are_refused(recipe: type[Recipe], values: dict[str, str], complaint: str) -> None:
    with pytest.raises(RecipeUnavailable) as error:
        recipe(**values)
    assert complaint in str(error.value)
