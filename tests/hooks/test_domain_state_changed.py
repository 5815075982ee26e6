"""domain_state_changed: told in the desk process, after the change, whoever made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.directory.actor import command_line
from gateway.directory.change import carry_out
from gateway.directory.domains import TrustDomain
from gateway.directory.organisations import AddOrganisation
from gateway.domains.told import DomainFacts
from gateway.hooks.policy import OnError
from tests.hooks.gateways import gateway, notes, write
from tests.hooks.walk import call, chain

FACTS = DomainFacts("customer.test", "acme", 0.0, takes_mail=True)


async def test_it_sees_both_states_and_the_facts() -> None:
    seen: list[object] = []

    def plugin(old: str, new: str, facts: DomainFacts) -> None:
        seen.extend([old, new, facts])

    await chain(call("domain_state_changed", plugin)).tell(
        "domain_state_changed", [], old="grace", new="active", facts=FACTS
    )
    assert seen == ["grace", "active", FACTS]


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
async def test_g1_a_failure_is_logged_and_the_others_are_told(
    on_error: OnError, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    runner = chain(
        call("domain_state_changed", broken, "broken", on_error=on_error),
        call("domain_state_changed", lambda: told.append("next"), "next"),
    )
    await runner.tell("domain_state_changed", [], old="", new="pending", facts=FACTS)
    assert told == ["next"]
    assert "RuntimeError: broken" in caplog.text


async def test_a_command_is_told_by_the_desk_once_and_not_again_after_a_restart(tmp_path: Path) -> None:
    write(
        tmp_path,
        "watcher",
        "    @hookimpl\n    def domain_state_changed(self, old, new, facts):\n"
        "        note(f'{facts.domain}:{old}:{new}:{facts.organisation}')\n",
    )
    for _ in range(2):
        desk = gateway(tmp_path, '"watcher"', role="smtp")
        await desk.start()
        try:
            for command in (AddOrganisation("acme"), TrustDomain("customer.test", organisation="acme")):
                if not notes(tmp_path):
                    await carry_out(desk.store, command_line("tests"), command, desk.clock)
            await desk.directory.version.look()
            for _ in range(2):
                await desk.domains._announcer.tell(desk.clock())
        finally:
            await desk.stop()
    assert notes(tmp_path) == ["customer.test::trusted:acme"]
