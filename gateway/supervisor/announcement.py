"""What a person sees when the gateway starts: where it listens, where state and mail lie, when it is ready."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.models import SOCKETMAP, WEB, Config
from gateway.config.next_hop import MaildirNextHopConfig

_DEMO_DOMAIN = "example.test"
_DEMO_MESSAGE = Path("contrib/examples/hello.eml")


def listening_lines(config: Config, addresses: Mapping[str, str]) -> Iterator[str]:
    """One line for each listener, then where things lie. `addresses`: the real address by listener."""
    width = max(len(listener.name) for listener in config.listeners)
    for listener in config.listeners:
        role = listener.role if listener.role == listener.direction else f"{listener.role}, {listener.direction}"
        yield f"{listener.name:<{width}}  {listener.protocol} on {addresses[listener.name]} ({role})"
    if config.web.address:
        yield f"{WEB:<{width}}  http on {addresses[WEB]} (metrics, health)"
    if config.socketmap.address:
        yield f"{SOCKETMAP:<{width}}  on {addresses[SOCKETMAP]} (answers to Postfix)"
    yield f"state in {config.server.state_dir}, database {_without_password(config.store.url)}"
    for name, hop in config.next_hops.items():
        yield f"next hop {name}: " + (
            hop.path if isinstance(hop, MaildirNextHopConfig) else f"{hop.kind} to {', '.join(hop.addresses)}"
        )


def demo_command(config: Config, source: str) -> str | None:
    """The command to paste, anywhere, that sends the example message; None unless this is the example configuration."""
    hosted = config.hosted.get(_DEMO_DOMAIN)
    if hosted is None or not {"anna", "bo"} <= set(hosted.mailboxes) or not _DEMO_MESSAGE.is_file():
        return None
    command = Path(sys.argv[0])
    try:
        shown = command.resolve().relative_to(Path.cwd())
    except ValueError:
        shown = command
    send = f"{shlex.quote(str(shown))} send --config {shlex.quote(source)}"
    return (
        f"cd {shlex.quote(str(Path.cwd()))} && {send} --from bo@{_DEMO_DOMAIN} --to anna@{_DEMO_DOMAIN} {_DEMO_MESSAGE}"
    )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
