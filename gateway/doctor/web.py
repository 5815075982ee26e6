"""What `stellwerk doctor` learns from the running gateway itself, by its `/healthz`. It blocks: it is for a thread."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from gateway.config.addresses import is_loopback
from gateway.config.models import WEB, Config
from gateway.doctor.asking import connected, listens_at
from gateway.doctor.findings import Found, failed, ok, warning


class _Connection(http.client.HTTPConnection):
    """HTTP over a TCP or a UNIX socket."""

    def __init__(self, address: str) -> None:
        super().__init__("localhost")
        self._address = address

    def connect(self) -> None:
        self.sock = connected(self._address)


def web_findings(config: Config) -> list[Found]:
    """Each check of `/healthz` that is not right; nothing when there is no web server or no gateway runs."""
    return list(_findings(config))


def _findings(config: Config) -> Iterator[Found]:
    configured = config.web.address
    if not configured:
        return
    if not is_loopback(configured):
        yield warning(
            f"web.address {configured} can be reached from other hosts, and nobody is asked who they are; set a "
            "loopback address, or let a firewall admit the monitoring only"
        )
    address = listens_at(config, WEB, configured)
    if not address:
        return
    connection = _Connection(address)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        checks = json.loads(answer.read())["checks"]
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        yield failed(f"/healthz at {address} does not answer ({error}) though the gateway runs; look at its log")
        return
    finally:
        connection.close()
    for check in checks:
        said = f"the running gateway says: {check['check']}: {check['seen']}"
        if check["status"] == "ok":
            continue
        text = f"{said}; {check.get('do', '')}"
        yield failed(text) if check["status"] == "failed" else warning(text)
    if answer.status == http.client.OK:
        yield ok(f"/healthz at {address} says that this node is well")
