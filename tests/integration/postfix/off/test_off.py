"""The ways back in a running Postfix: `off`, and the part `back` of every recipe, alone and one after the other."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.config import read
from gateway.postfix_recipes.after_queue import AfterQueue
from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.edge import Edge
from gateway.postfix_recipes.off import Off
from gateway.postfix_recipes.own_mail_signed import OwnMailSigned
from gateway.postfix_recipes.recipe import Recipe, parts
from gateway.postfix_recipes.submission import Submission
from tests.integration.ports import PortReservation
from tests.integration.postfix.after_queue import on_free_ports
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.postfix.messages import message
from tests.integration.postfix.recipe_pair import comparable, paste_way_back

pytestmark = pytest.mark.server("postfix")

every_recipe = pytest.mark.parametrize("recipe", CATALOGUE, ids=[recipe.name for recipe in CATALOGUE])
# The recipe submission sees to it, and leaves it.
_AS_DISTRIBUTIONS_HAVE_IT = "    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n"
_ALONE = {"after-queue-lmtp", "after-queue-smtp", "before-queue-proxy", "edge"}


class Ways:
    """A recipe on ports of the test, what it stands beside, and `off` as it is printed for a gateway that has both."""

    def __init__(self, recipe: type[Recipe], ports: PortReservation, postfix: PostfixInstance) -> None:
        login = f"127.0.0.1:{ports.take()}/inet"
        postfix.append(master_cf=f"{login.partition('/')[0]} inet n - n - - smtpd\n{_AS_DISTRIBUTIONS_HAVE_IT}")
        chosen = {"service": postfix.front, "submission": login, "senders": f"{login},pickup/unix"}
        known = {name: value for name, value in chosen.items() if name in {choice.field for choice in recipe.choices}}
        values = _on_free_ports(recipe, ports, known)
        queue = None if recipe.name in _ALONE else on_free_ports(AfterQueueLmtp, ports)
        self.beside = parts(queue.render()) if queue else {}
        self.printed = parts(values.render())
        self.off = parts(Off.fitting(read(self._config(recipe)), **chosen).render())["commands"]

    def _config(self, recipe: type[Recipe]) -> str:
        """What an administrator makes of the parts for the gateway."""
        own, queue = self.printed["stellwerk.toml"], self.beside.get("stellwerk.toml", "")
        if recipe is OwnMailSigned:
            return queue.replace('own = "postfix"', 'own = "signing"') + own.partition("\n[routing]\n")[0]
        return queue if recipe.name == "beside-rspamd" else f"{queue}\n{own}"


def _on_free_ports(recipe: type[Recipe], ports: PortReservation, known: dict[str, str]) -> Recipe:
    if issubclass(recipe, AfterQueue):
        return on_free_ports(recipe, ports)
    host = {"gateway": "127.0.0.2" if recipe is Edge else "127.0.0.1", "reinjection": "127.0.0.1"}
    names = {field.name for field in dataclasses.fields(recipe)} & set(host)  # type: ignore[arg-type]
    return recipe(**{name: f"{host[name]}:{ports.take()}" for name in sorted(names)}, **known)


@every_recipe
async def test_configuration_is_what_it_was(
    postfix: PostfixInstance, ports: PortReservation, recipe: type[Recipe]
) -> None:
    ways = Ways(recipe, ports, postfix)
    postfix.write_mailboxes(["anna"])
    await postfix.start()
    pristine = await _configuration(postfix)
    await postfix.apply(ways.beside)
    alone = await _configuration(postfix)
    await postfix.apply(ways.printed)
    await _take_notice(postfix, recipe)
    assert await _configuration(postfix) != alone
    await paste_way_back(postfix, ways.printed["back"])
    assert await _configuration(postfix) == alone
    await _take_notice(postfix, recipe)
    # both, as by mistake or since another recipe is left: the second finds what the first has left, or nothing
    await paste_way_back(postfix, ways.off)
    assert await _configuration(postfix) == pristine

    await postfix.apply(ways.beside)
    await postfix.apply(ways.printed)
    await _take_notice(postfix, recipe)
    await paste_way_back(postfix, ways.off)
    assert await _configuration(postfix) == pristine
    await _take_notice(postfix, recipe)
    await paste_way_back(postfix, ways.printed["back"])
    assert await _configuration(postfix) == pristine
    await postfix.inject(message(), "cleo@client.example", ["anna@example.test"])
    await postfix.wait_until_delivered(1, "anna")


async def test_off_takes_out_what_no_longer_fits_the_configuration(postfix: PostfixInstance) -> None:
    """At night: somebody has taken the next hop back to Postfix out of stellwerk.toml already."""
    pristine = await _configuration(postfix)
    await postfix.apply(parts(AfterQueueLmtp().render()))
    await postfix.apply(parts(Submission(service=postfix.front).render()))
    left = '[[listener]]\nname = "mx"\naddress = "127.0.0.1:2525"\n'
    kept = read(f'{left}[next_hop.mail]\nkind = "maildir"\npath = "{{domain}}/{{local}}"\n')
    await postfix.paste(_without_daemon(parts(Off.from_config(kept, service=postfix.front).render())["commands"]))
    assert await _configuration(postfix) == pristine


async def test_somebody_elses_service_at_a_standard_port_stays(postfix: PostfixInstance) -> None:
    postfix.append(master_cf="127.0.0.1:10026 inet n - n - - smtpd\n    -o content_filter=\n")
    before = await _configuration(postfix)
    await postfix.paste(_without_daemon(parts(Off().render())["commands"]))
    assert await _configuration(postfix) == before


async def test_service_that_off_was_not_told_of_keeps_its_way_through_the_gateway(postfix: PostfixInstance) -> None:
    """And the administrator sees which one it is."""
    await postfix.apply(parts(AfterQueueLmtp().render()))
    await postfix.apply(parts(Submission(submission=postfix.front, service="smtpd/pass").render()))
    printed = await postfix.paste(_without_daemon(parts(Off().render())["commands"]))
    assert f"{postfix.front}/content_filter = stellwerk-out:[127.0.0.1]:10028" in printed
    services = {line.split()[0] for line in (await postfix.paste("postconf -M")).splitlines()}
    assert {"stellwerk-out", "127.0.0.1:10026", "stellwerk-cleanup"} <= services
    assert "stellwerk" not in services


async def _take_notice(postfix: PostfixInstance, recipe: type[Recipe]) -> None:
    """As the part `apply` says: the recipe that changes inet_interfaces asks for a restart."""
    if recipe is Edge:
        await postfix.stop()
        await postfix.start()
    else:
        await postfix.reload()


async def _configuration(postfix: PostfixInstance) -> list[str]:
    return comparable(await postfix.configuration())


def _without_daemon(commands: str) -> str:
    """For a Postfix that does not run, on the standard ports, which a test must not open."""
    return "".join(line for line in commands.splitlines(True) if not line.startswith(("postfix ", "postsuper ")))
