"""The composition root: one configuration becomes one running gateway. Nothing is decided here, only put together."""

from __future__ import annotations

import asyncio
import grp
import logging
import pwd
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

from gateway.answers.out_of_office import OutOfOffice
from gateway.api import Services
from gateway.config.models import Config
from gateway.config.next_hop import LmtpNextHopConfig, MaildirNextHopConfig, NextHopConfig, SmtpNextHopConfig
from gateway.delivery.client_tls import ClientTls
from gateway.delivery.executor import Executor
from gateway.delivery.journal import Identity as Identity
from gateway.delivery.journal import Journal
from gateway.delivery.login import Login
from gateway.delivery.maildir import Maildir
from gateway.delivery.notifications import Notifier
from gateway.delivery.relays import RelayHops
from gateway.delivery.settlement import Settlement
from gateway.delivery.smtp_client import SmtpNextHop
from gateway.delivery.transport import NextHop
from gateway.directory.logins import Logins
from gateway.directory.relay import RelayAccounts
from gateway.directory.service import DirectoryService
from gateway.directory.static import StaticDirectory
from gateway.directory.tables import auto_answer
from gateway.dns.service import DnsService
from gateway.domains.announcing import Announcer
from gateway.domains.asking import DnsChecker
from gateway.domains.checker import Checker
from gateway.domains.due import Names
from gateway.domains.notices import Notices
from gateway.domains.probing import Probing
from gateway.domains.scheduler import Scheduler
from gateway.errors import StartupError
from gateway.hooks.finding import Given
from gateway.hooks.loader import PluginSet, load_plugins, service_log
from gateway.hooks.runner import Call, PluginFailure
from gateway.jobs.worker import JobWorker
from gateway.mail.stamp import Stamp
from gateway.pipeline import Pipeline
from gateway.planning import Planner
from gateway.retention import Retention
from gateway.store.engine import is_missing
from gateway.store.reader import PATIENCE_SECONDS
from gateway.store.store import Store
from gateway.store.upgrade import Owner, owners_of, prepare
from gateway.submission.service import Submission
from gateway.trace import Tracer

log = logging.getLogger("stellwerk")

ProcessRole = Literal["smtp", "desk", "cli"]


class Gateway:
    """One process of the gateway. `role` smtp carries mail, desk does background work, cli only looks.

    Build it, `await start()`, use `pipeline`, `await stop()`. With `role = "cli"` the store is read-only and nothing is
    ever handed on. Plugins in `given` are classes by name that are not looked up. `checker` asks DNS about claimed
    domains in place of the gateway's own checks.
    """

    def __init__(
        self,
        config: Config,
        *,
        role: ProcessRole = "smtp",
        identity: Identity | None = None,
        source: str = "",
        clock: Callable[[], float] = time.time,
        given: Given | None = None,
        checker: Checker | None = None,
    ) -> None:
        self.config = config
        self.role = role
        self.identity = identity or Identity()
        self.clock = clock
        self.store = Store.open(
            config.store.url,
            read_only=role == "cli",
            busy_timeout_seconds=config.store.busy_timeout_seconds,
            read_patience_seconds=PATIENCE_SECONDS if role == "smtp" else None,
        )
        self.directory = DirectoryService(StaticDirectory(config.hosted, config.server.hostname), self.store, clock)
        self.dns = DnsService(config, self.directory.hosts)
        self.plugins: PluginSet = load_plugins(config, self._services(), source, given)
        self.next_hops = next_hops(config)
        self.stamp = Stamp(config.server.hostname, read_secret(config))
        self.journal = Journal(self.store, self.identity, config.journal.join_seconds, self._tables())
        out_of_office = OutOfOffice(self.directory, self.store, config.server.hostname)
        version = self.directory.version
        self.submission = Submission(config, Logins(self.store, version), self.plugins.runner, self.stamp)
        self.planner = Planner(
            config, self.plugins.runner, self.directory, self.stamp, out_of_office, submission=self.submission
        )
        self.relays = RelayHops(
            RelayAccounts(self.store, version).find,
            config.server.hostname,
            lambda: self.next_hops.get(config.routing.outbound),
        )
        self.executor = Executor(self.next_hops, self.relays)
        self.tracer = Tracer(self.store)
        self.job_counts: Counter[str] = Counter()
        notices = Notices(config)
        self.domains = Scheduler(
            self.store,
            (checker or DnsChecker(Probing.of(config.dns))) if config.domains.look else None,
            Names(config.domains.label, config.gateway_name, config.server.mx_hosts),
            notices,
            Announcer(self.store, self.plugins.runner, notices, lambda: version.number),
            clock,
        )
        self.pipeline = Pipeline(
            config=config,
            planner=self.planner,
            runner=self.plugins.runner,
            journal=self.journal,
            executor=self.executor,
            settlement=Settlement(self.store, self.journal, Notifier(config.server.hostname, self.next_hops), clock),
            stamp=self.stamp,
            tracer=self.tracer,
            submission=self.submission,
            clock=clock,
        )
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Check the database, free dead leases, run startup hooks. Raises `StartupError` or what a hook raised."""
        if self.role == "cli":
            return
        store = self.config.store
        await asyncio.to_thread(prepare, store.url, self.owners(), auto_upgrade=store.auto_upgrade)
        for hop in self.next_hops.values():
            if isinstance(hop, SmtpNextHop):
                await asyncio.to_thread(hop.check_files)
        await self.journal.recover(self.clock())
        await self.directory.start()
        for call in self.plugins.runner.chain("gateway_startup"):
            await self._startup(call)
        self._background = [self.directory.watch()]
        if self.role == "desk":
            jobs = JobWorker(
                self.store,
                self.plugins.runner,
                self.next_hops,
                self.config.own_hop,
                self.identity.instance,
                self.clock,
                self.directory.has_mailbox,
                self.job_counts,
            )
            retention = Retention(self.store, self.journal, self.config, self.clock)
            self._background += [
                asyncio.create_task(jobs.run(), name="outbox"),
                asyncio.create_task(retention.run(), name="purging of old entries"),
                asyncio.create_task(self.domains.run(), name="look at domains"),
            ]
        for task in self._background:
            task.add_done_callback(_log_crash)

    async def look(self) -> None:
        """Know the directory without starting, as far as there is one. Raises `StoreUnavailable`."""
        if not is_missing(self.config.store.url):
            await self.directory.start_if_there_are_tables()

    async def stop(self) -> None:
        """Let what runs after replies finish, tell the plugins, close what is open."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.pipeline.settled()
        if self.role != "cli":
            await self.plugins.runner.tell("gateway_shutdown", [], backwards=True, gateway=self)
        closing = [self.relays.close(), *(hop.close() for hop in self.next_hops.values())]
        for ended in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(ended, BaseException):  # what follows still has to be written
                log.error("a next hop could not be closed", exc_info=ended)
        await self.dns.close()
        self.submission.close()
        self.plugins.close()
        await asyncio.to_thread(self.store.close)

    def owners(self) -> list[Owner]:
        """Whose tables the database holds: the core's, then each plugin's in list order."""
        return owners_of((plugin.name, plugin.declared.migrations) for plugin in self.plugins.plugins)

    async def _startup(self, call: Call) -> None:
        try:
            await self.plugins.runner.must(call, gateway=self)
        except PluginFailure as failure:
            raise StartupError(f"the gateway does not start, {failure}") from None

    def _services(self) -> Mapping[str, Services]:
        return {
            name: Services(self.store, self.directory, self.dns, self.clock, service_log(name))
            for name in self.config.plugins
        }

    def _tables(self) -> Mapping[str, object]:
        declared = {name: table for plugin in self.plugins.plugins for name, table in plugin.declared.tables.items()}
        return declared | {auto_answer.name: auto_answer}


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the %s failed and does not go on until a restart", task.get_name(), exc_info=error)


def next_hops(config: Config) -> dict[str, NextHop]:
    """The next hops of the configuration, not connected yet."""
    return {name: _next_hop(name, hop, config) for name, hop in config.next_hops.items()}


def _next_hop(name: str, hop: NextHopConfig, config: Config) -> NextHop:
    if isinstance(hop, MaildirNextHopConfig):
        return Maildir(
            name,
            hop.path,
            hostname=config.server.hostname,
            line_ends=hop.line_ends,
            file_mode=hop.file_mode,
            directory_mode=hop.directory_mode,
            owner=_owner(name, hop.owner),
            subaddress_separator=hop.subaddress_separator,
        )
    return SmtpNextHop(
        name,
        hop.address,
        fallback_addresses=hop.fallback_addresses,
        cool_down_seconds=hop.cool_down_seconds,
        protocol=hop.kind,
        helo_name=config.server.hostname,
        tls=_client_tls(hop),
        login=Login(hop.user, hop.password_file, hop.login_without_tls) if hop.user and hop.password_file else None,
        chunking=hop.chunking,
        connections=hop.connections,
        connect_timeout_seconds=hop.connect_timeout_seconds,
        reply_timeout_seconds=hop.reply_timeout_seconds,
        data_done_timeout_seconds=hop.data_done_timeout_seconds,
        idle_seconds=hop.idle_seconds,
        xforward=hop.xforward,
    )


def _client_tls(hop: SmtpNextHopConfig | LmtpNextHopConfig) -> ClientTls | None:
    if hop.tls == "none":
        return None
    return ClientTls(
        required=hop.tls == "required",
        implicit=hop.tls_implicit,
        name=hop.tls_name,
        ca_file=hop.tls_ca_file,
        certificate=hop.tls_certificate,
        key=hop.tls_key,
    )


def _owner(hop: str, text: str) -> tuple[int, int] | None:
    """`user` or `user:group` as ids; None keeps the worker's own."""
    if not text:
        return None
    user, _, group = text.partition(":")
    try:
        account = pwd.getpwnam(user)
        return account.pw_uid, grp.getgrnam(group).gr_gid if group else account.pw_gid
    except KeyError as error:
        raise StartupError(f'next_hop.{hop}.owner = "{text}": {error.args[0]}; expected "user:group"') from None


def read_secret(config: Config) -> bytes:
    """The key that signs the gateway's own header fields. The supervisor makes it; without it nothing is recognised."""
    try:
        return config.secret_path.read_bytes().strip()
    except FileNotFoundError:
        return secrets.token_hex(32).encode()
    except OSError as error:
        raise StartupError(
            f"{config.secret_path}: {error.strerror}; the worker's user must be able to read the gateway's secret"
        ) from None
