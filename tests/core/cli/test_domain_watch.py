"""`stellwerk domain check --watch` beside a running gateway: from the claim to mail that is accepted."""

from __future__ import annotations

import json
import subprocess

import pytest

from gateway.testing.process import PATIENCE_SECONDS, ProcessGateway
from tests.core.cli.customer import CHALLENGE, MX, NAME, Customer
from tests.integration.gateway_process import STELLWERK


@pytest.mark.slow
def test_it_ends_with_status_0_when_the_gateway_takes_the_domain_into_service(customer: Customer) -> None:
    """With AD from the resolver one sight of the key is a proof."""
    customer.server.replace_behaviour({f"{CHALLENGE}/TXT": "AD"})
    gateway = ProcessGateway(customer.config.parent, customer.config.read_text())
    gateway.start()
    try:
        customer.publish(customer.key, *MX)
        watched = subprocess.run(
            [STELLWERK, "domain", "check", NAME, "--watch", "--config", str(customer.config)],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
        shown = json.loads(customer.stellwerk("domain", "show", NAME, "--json").output)
    finally:
        gateway.stop()
    assert (watched.returncode, watched.stderr) == (0, "")
    states = [line.split("\t")[3] for line in watched.stdout.splitlines() if line.split("\t")[1] == "state"]
    assert states[-1] == "active"
    assert (shown["state"], shown["mail"][:3]) == ("active", "250")
