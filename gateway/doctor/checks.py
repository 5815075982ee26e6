"""Checks of a whole installation, for `stellwerk doctor`: what is right, doubtful or wrong, and what to do.

Nothing here changes anything. A check is a function in `CHECKS`; plugins add their own with `registry.check`.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.app import Gateway
from gateway.checking import without_secret
from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.config.listener import ListenerConfig
from gateway.config.models import Config
from gateway.config.next_hop import MaildirNextHopConfig
from gateway.delivery.maildir import Maildir
from gateway.delivery.smtp_client import SmtpNextHop
from gateway.dns.answers import Unknown
from gateway.dns.resolver import Resolver
from gateway.doctor.certificates import careless_context, certificate_findings
from gateway.doctor.files import space_findings, state_findings
from gateway.doctor.findings import Finding as Finding
from gateway.doctor.findings import Found, failed, ok, warning
from gateway.doctor.postfix import postfix_findings
from gateway.doctor.socketmap import socketmap_findings
from gateway.doctor.store import store_findings
from gateway.doctor.web import web_findings
from gateway.errors import StartupError, StellwerkError
from gateway.mail.envelope import BEHIND_A_MAIL_SERVER
from gateway.supervisor.account import account_of_workers
from gateway.supervisor.holders import holders_of
from gateway.supervisor.state import running

_GREETING_SECONDS = 10.0
_ROOM_FOR_OUR_HEADERS = 65_536
_FIRST_HUMAN_UID, _LAST_HUMAN_UID = 1000, 60_000  # login.defs(5), UID_MIN and UID_MAX
_NO_LOGIN = ("nologin", "false")
_BUILT_AFTER = 1_760_000_000  # POSIX seconds; a clock before this was never set


@dataclass(frozen=True, slots=True)
class Installation:
    """What the checks look at. `gateway` carries no mail here; its store is only read.

    `certificates`: what was found out about them, with rights that the other checks may not have.
    """

    config: Config
    gateway: Gateway
    certificates: Sequence[Found]


Check = Callable[[Installation], AsyncIterator[Found]]


async def examine(config: Config, certificates: Sequence[Found] | None = None) -> list[Finding]:
    """Run every check. Raises `ConfigError` when a plugin does not load: there is no chain to check then.

    `certificates`: their findings, made by somebody who may read the keys; None asks here and now.
    """
    source = config.source.name if config.source else "configuration"
    gateway = Gateway(without_secret(config), role="cli", source=source)
    found = certificate_findings(config) if certificates is None else certificates
    installation = Installation(config, gateway, tuple(found))
    try:
        lists = [await _run(name, check, installation) for name, check in CHECKS]
        return [finding for found in lists for finding in found]
    finally:
        await gateway.stop()


def become_workers_user(config: Config) -> None:
    """Give up root for `server.user`, for good, since root may do what workers may not.

    Raises `StartupError` when that user cannot read this installation. A user that does not exist is for `examine`.
    """
    try:
        account = account_of_workers(config.server.user)
    except StartupError:
        return
    if account is None:
        return
    account.become()
    for path in (Path(sys.executable), Path(__file__)):
        if not os.access(path, os.R_OK):
            raise StartupError(
                f"user {account.name} cannot read {path}; install Stellwerk where the user named by server.user may "
                "read it"
            )


async def _run(name: str, check: Check, installation: Installation) -> list[Finding]:
    found: list[Finding] = []
    try:
        found += [Finding(name, status, text) async for status, text in check(installation)]
    except (StellwerkError, OSError) as error:
        found.append(Finding(name, "failed", str(error)))
    return found


async def _python(_: Installation) -> AsyncIterator[Found]:
    yield ok(f"Python {sys.version.split()[0]}")


async def _configuration(installation: Installation) -> AsyncIterator[Found]:
    config = installation.config
    names = ", ".join(plugin.name for plugin in installation.gateway.plugins.plugins) or "none"
    yield ok(f"{config.source.name if config.source else 'configuration'} is right; plugins: {names}")
    if "." not in config.server.hostname:
        yield warning(
            f'server.hostname is "{config.server.hostname}", which is no full name; set the one that DNS knows'
        )
    try:
        account_of_workers(config.server.user)
    except StartupError as error:
        yield failed(str(error))
    if os.geteuid() == 0 and not config.server.user:
        yield warning("started by root, workers stay root; set server.user, unless this is a container of its own")


async def _state(installation: Installation) -> AsyncIterator[Found]:
    for found in state_findings(installation.config):
        yield found


async def _space(installation: Installation) -> AsyncIterator[Found]:
    hops = installation.gateway.next_hops.items()
    for found in space_findings(
        installation.config, {name: hop.root for name, hop in hops if isinstance(hop, Maildir)}
    ):
        yield found


async def _store(installation: Installation) -> AsyncIterator[Found]:
    async for found in store_findings(installation.config, installation.gateway.owners()):
        yield found


async def _listeners(installation: Installation) -> AsyncIterator[Found]:
    config = installation.config
    state = running(config.server.state_dir)
    for listener in config.listeners:
        address = state["listeners"].get(listener.name, listener.address) if state else listener.address
        yield await _listener(listener, address, is_running=state is not None)
    people = _people()
    for listener in config.listeners:
        tcp_loopback = is_loopback(listener.address) and not listener.address.startswith("unix:")
        if listener.role in BEHIND_A_MAIL_SERVER and tcp_loopback and people:
            yield warning(
                f'any account of this host ({", ".join(people[:3])}) may speak to listener "{listener.name}", '
                f'which takes mail for every domain; use address = "unix:/run/stellwerk/{listener.name}.sock"'
                + (' and protocol = "lmtp"' if (listener.role, listener.protocol) == ("filter", "smtp") else "")
            )


async def _listener(listener: ListenerConfig, address: str, *, is_running: bool) -> Found:
    where = f'listener "{listener.name}" at {address}'
    parsed = parse_socket_address(address)
    try:
        async with asyncio.timeout(_GREETING_SECONDS):
            greeting = await _greeting(listener, parsed)
    except TimeoutError:
        return failed(f"{where} accepts connections and does not greet; look at the log of the gateway")
    except OSError as error:
        if is_running:
            return failed(f"{where} does not answer ({error.strerror}) though the gateway runs; look at its log")
        return warning(f"{where} does not answer: the gateway does not run; start it with stellwerk serve")
    if is_running:
        return ok(f"{where} answers: {greeting}")
    holders = holders_of(parsed[1]) if isinstance(parsed, tuple) else []
    who = str(holders[0]) if holders else "another process"
    return failed(f"{where} is taken by {who}, no gateway of this state directory; stop it, or set another address")


async def _greeting(listener: ListenerConfig, parsed: tuple[str, int] | Path) -> str:
    """What the listener says to a new connection. Raises `OSError`."""
    # Of TLS its clients make sure: here it is only asked whether somebody answers.
    tls = careless_context() if listener.tls == "implicit" and not listener.tls_client_ca else None
    if isinstance(parsed, tuple):
        reader, writer = await asyncio.open_connection(*parsed, ssl=None if listener.proxy_protocol else tls)
    else:
        reader, writer = await asyncio.open_unix_connection(str(parsed), ssl=None if listener.proxy_protocol else tls)
    try:
        if listener.proxy_protocol:
            return "for connections through a load balancer"
        if listener.tls_client_ca:
            return "for clients with a certificate"
        return (await reader.readline()).decode("utf-8", "replace").strip()
    finally:
        writer.close()


async def _certificates(installation: Installation) -> AsyncIterator[Found]:
    for found in installation.certificates:
        yield found


def _people() -> list[str]:
    """Accounts of this host that a person or a foreign program may use."""
    return sorted(
        entry.pw_name
        for entry in pwd.getpwall()
        if _FIRST_HUMAN_UID <= entry.pw_uid < _LAST_HUMAN_UID and not entry.pw_shell.endswith(_NO_LOGIN)
    )


async def _next_hops(installation: Installation) -> AsyncIterator[Found]:
    config = installation.config
    for name, hop in installation.gateway.next_hops.items():
        if isinstance(hop, SmtpNextHop):
            async for found in _server(name, hop, config):
                yield found
        elif problem := await hop.probe():
            yield failed(problem)
        else:
            yield ok(f"next hop {name} answers")
    if isinstance(config.next_hops[config.own_hop], MaildirNextHopConfig):
        yield warning(
            f'mail of our own goes to "{config.own_hop}", a Maildir: notifications to senders elsewhere cannot '
            "leave; set routing.own to a next hop that relays"
        )


async def _server(name: str, hop: SmtpNextHop, config: Config) -> AsyncIterator[Found]:
    """Every address of one next hop, spoken to as mail would be handed over: with TLS and login."""
    inspections = await hop.inspect()
    largest = max(one.max_message_bytes or config.limits.max_message_bytes for one in config.listeners)
    for index, one in enumerate(inspections):
        if one.problem:
            text = f'next hop "{name}" at {one.address} takes no mail: {one.problem}'
            others = any(not other.problem for other in inspections)
            todo = f"start it, or correct next_hop.{name}.{'fallback_addresses' if index else 'address'}"
            yield (
                warning(f"{text}; mail goes to other addresses of it; {todo}") if others else failed(f"{text}; {todo}")
            )
            continue
        yield ok(f"next hop {name} answers: {one.where}")
        size = one.capabilities.size
        if size and size < largest + _ROOM_FOR_OUR_HEADERS:
            yield failed(
                f"next hop {name} takes {size} octets and we take {largest}: a large message grows by our header "
                "fields and is refused there after it was accepted; raise its limit (0 is none) above "
                f"{largest + _ROOM_FOR_OUR_HEADERS}, or lower limits.max_message_bytes"
            )


async def _postfix(installation: Installation) -> AsyncIterator[Found]:
    async for found in postfix_findings(installation.config):
        yield found


async def _dns(installation: Installation) -> AsyncIterator[Found]:
    async with Resolver(installation.config.dns.nameservers) as resolver:
        answer = await resolver.lookup(".", "NS")
        servers = ", ".join(str(server) for server in resolver.nameservers)
    if isinstance(answer, Unknown):
        yield failed(f"DNS does not answer ({answer.detail or answer.reason}); set dns.nameservers to one that does")
    else:
        yield ok(f"DNS answers ({servers})")


async def _web(installation: Installation) -> AsyncIterator[Found]:
    for finding in await asyncio.to_thread(web_findings, installation.config):
        yield finding


async def _socketmap(installation: Installation) -> AsyncIterator[Found]:
    for finding in await asyncio.to_thread(socketmap_findings, installation.config):
        yield finding


async def _clock(installation: Installation) -> AsyncIterator[Found]:
    now = time.time()
    state = installation.config.server.state_dir.absolute()
    try:
        newest = max((entry.stat().st_mtime for entry in state.iterdir()), default=0.0)
    except OSError:  # missing or closed to this user, which the check of the state says
        newest = 0.0
    if now < _BUILT_AFTER:
        yield failed(f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}; set it, and let NTP keep it")
    elif newest > now + 60:
        yield failed(f"the clock was set back: files in {state} are {newest - now:.0f} seconds in the future")
    else:
        yield ok(f"the clock says {time.strftime('%Y-%m-%d %H:%MZ', time.gmtime(now))}")


async def _plugins(installation: Installation) -> AsyncIterator[Found]:
    for plugin in installation.gateway.plugins.plugins:
        for name, check in plugin.declared.checks.items():
            problem = await check()
            yield failed(f"{plugin.name}: {problem}") if problem else ok(f"{plugin.name}: {name}")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", _python),
    ("configuration", _configuration),
    ("state", _state),
    ("space", _space),
    ("store", _store),
    ("listeners", _listeners),
    ("certificates", _certificates),
    ("web", _web),
    ("socketmap", _socketmap),
    ("next hops", _next_hops),
    ("postfix", _postfix),
    ("dns", _dns),
    ("clock", _clock),
    ("plugins", _plugins),
)
