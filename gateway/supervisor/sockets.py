"""Listening sockets: bound here, once, and handed to every generation of workers. Nothing here accepts a connection."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.config.addresses import parse_socket_address
from gateway.config.models import SOCKETMAP, WEB, Config
from gateway.errors import StartupError
from gateway.supervisor.account import Account
from gateway.supervisor.holders import holders_of

_BACKLOG = 1024
_UNIX_MODE = 0o660


class Endpoint(NamedTuple):
    """An address to listen on: a listener's or another service's, with as many sockets as processes share it."""

    name: str
    address: str
    sockets: int

    @property
    def label(self) -> str:
        """How messages to a person name it."""
        return f"{self.name}.address" if self.name in (WEB, SOCKETMAP) else f'listener "{self.name}"'


def endpoints(config: Config) -> list[Endpoint]:
    """Every address that `config` wants to listen on."""
    found = [Endpoint(one.name, one.address, config.server.workers) for one in config.listeners]
    # The desk has the web server; Postfix is answered by every worker: without answers it takes no mail either.
    return found + [
        Endpoint(name, address, 1 if name == WEB else config.server.workers)
        for name, address in config.services.items()
    ]


@dataclass(slots=True)
class _Bound:
    """The sockets of one listener: one for each worker slot, or one that all slots share."""

    address: str
    sockets: list[socket.socket] = field(default_factory=list)
    shared: bool = False
    inherited: bool = False
    path: Path | None = None

    def close(self) -> None:
        """Close what we opened ourselves; a socket from systemd may be wanted again by a later configuration."""
        for one in [] if self.inherited else self.sockets:
            one.close()
        if self.path:
            self.path.unlink(missing_ok=True)


class ListeningSockets:
    """All listening sockets of the gateway, by listener.

    Each worker slot has its own SO_REUSEPORT socket on a TCP address, so that the kernel spreads connections; a UNIX
    socket and one from systemd are shared. They stay open while workers come and go: what arrives meanwhile waits.
    """

    def __init__(self, inherited: Mapping[str, socket.socket] | None = None) -> None:
        self._bound: dict[str, _Bound] = {}
        self._inherited = dict(inherited or {})

    def open(self, config: Config, account: Account | None) -> None:
        """Bind what `config` wants and is not bound yet. Raises `StartupError`; then nothing has changed."""
        before = {key: len(bound.sockets) for key, bound in self._bound.items()}
        try:
            for endpoint in endpoints(config):
                self._open_one(endpoint, account)
            self._check_inherited(config)
        except BaseException:
            self._shrink(before)
            raise

    def retain(self, config: Config) -> None:
        """Close what `config` no longer wants."""
        wanted: dict[str, int] = {}
        for endpoint in endpoints(config):
            bound = self._bound[_key(endpoint)]
            wanted[_key(endpoint)] = len(bound.sockets) if bound.shared else endpoint.sockets
        self._shrink(wanted)

    def of_slot(self, config: Config, slot: int) -> list[tuple[str, socket.socket]]:
        """(listener's or service's name, socket) for the worker in `slot`, counted from 0."""
        found = []
        for endpoint in endpoints(config):
            if endpoint.name != WEB:
                bound = self._bound[_key(endpoint)]
                found.append((endpoint.name, bound.sockets[0 if bound.shared else slot]))
        return found

    def of_desk(self, config: Config) -> list[tuple[str, socket.socket]]:
        """As `of_slot`, for the desk: the web server's socket, if there is one."""
        return [(one.name, self._bound[_key(one)].sockets[0]) for one in endpoints(config) if one.name == WEB]

    def addresses(self, config: Config) -> dict[str, str]:
        """Where each listener really listens, as the configuration would write it; port 0 has become a number."""
        return {endpoint.name: self._bound[_key(endpoint)].address for endpoint in endpoints(config)}

    def close(self) -> None:
        for bound in self._bound.values():
            bound.close()
        for one in self._inherited.values():
            one.close()
        self._bound.clear()

    def _open_one(self, listener: Endpoint, account: Account | None) -> None:
        key = _key(listener)
        if listener.name in self._inherited:
            passed = self._inherited[listener.name]
            self._bound[key] = _Bound(_shown(passed), [passed], shared=True, inherited=True)
            return
        parsed = parse_socket_address(listener.address)
        if isinstance(parsed, Path):
            if key not in self._bound:
                self._bound[key] = _Bound(
                    listener.address, [_bind_unix(listener, parsed, account)], shared=True, path=parsed
                )
            return
        bound = self._bound.setdefault(key, _Bound(listener.address))
        if not bound.sockets:
            _check_free(listener, *parsed)
        while len(bound.sockets) < listener.sockets:
            address = parse_socket_address(bound.address)
            assert isinstance(address, tuple)
            bound.sockets.append(_bind_tcp(listener, *address))
            bound.address = _shown(bound.sockets[0])

    def _check_inherited(self, config: Config) -> None:
        names = [endpoint.name for endpoint in endpoints(config)]
        for name in self._inherited:
            if name not in names:
                raise StartupError(
                    f'systemd passed a socket called "{name}", and no listener has that name; there are: '
                    f"{', '.join(names)}. Set FileDescriptorName= in the socket unit to a listener's name"
                )

    def _shrink(self, wanted: Mapping[str, int]) -> None:
        for key in [key for key in self._bound if key not in wanted]:
            self._bound.pop(key).close()
        for key, bound in self._bound.items():
            while len(bound.sockets) > wanted[key]:
                bound.sockets.pop().close()


def _key(listener: Endpoint) -> str:
    """What tells bound sockets apart. Port 0 is another port for each listener that asks for it."""
    return f"{listener.name} {listener.address}" if listener.address.endswith(":0") else listener.address


def _shown(bound: socket.socket) -> str:
    if bound.family == socket.AF_UNIX:
        return f"unix:{bound.getsockname()}"
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _tcp_address(listener: Endpoint, host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise StartupError(
            f"{listener.label}: the host name {host!r} has no address ({error.strerror}); write an IP address"
        ) from None
    return family, (str(address[0]), int(address[1]))


def _check_free(listener: Endpoint, host: str, port: int) -> None:
    """Fail when anybody listens there. SO_REUSEPORT alone would let two gateways share the port in silence."""
    if port == 0:
        return
    family, address = _tcp_address(listener, host, port)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        _bind(listener, probe, address)


def _bind_tcp(listener: Endpoint, host: str, port: int) -> socket.socket:
    family, address = _tcp_address(listener, host, port)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(listener, bound, address)
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _bind(listener: Endpoint, one: socket.socket, address: tuple[str, int]) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind(address)
    except OSError as error:
        raise StartupError(f"{listener.label}: {_tcp_problem(error, listener.address, *address)}") from None


def _tcp_problem(error: OSError, shown: str, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        holders: Sequence[object] = holders_of(port) or ["another process"]
        return f"{shown} is in use by {holders[0]}; stop it, or set another address"
    if error.errno == errno.EACCES:
        return (
            f"user {os.geteuid()} may not listen on port {port} (below 1024); start as root with server.user set, "
            "or take the socket from systemd, or set another address"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}; set one of its own (see: ip address)"
    return f"{shown}: {error.strerror}"


def _bind_unix(listener: Endpoint, path: Path, account: Account | None) -> socket.socket:
    where = listener.label
    try:
        _remove_stale(where, path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            before = os.umask(0o777 & ~_UNIX_MODE)
            try:
                bound.bind(str(path))
            finally:
                os.umask(before)
            if account:
                os.chown(path, account.uid, account.gid)
            bound.listen(_BACKLOG)
        except BaseException:
            bound.close()
            raise
    except FileNotFoundError:
        raise StartupError(
            f"{where}: the directory {path.parent} of its socket is missing; create it, or set another address"
        ) from None
    except OSError as error:
        raise StartupError(f"{where}: {path}: {error.strerror}; make {path.parent} writable for the gateway") from None
    return bound


def _remove_stale(where: str, path: Path) -> None:
    """Remove a socket file that nobody listens on: what a killed gateway leaves behind."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"{where}: {path} is in the way and is no socket; remove it, or set another address")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise StartupError(f"{where}: another process listens on {path}; stop it, or set another address")
