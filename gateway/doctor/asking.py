"""How doctor asks the gateway that runs on this machine: where it listens, and a connection to there. It blocks."""

from __future__ import annotations

import socket
from pathlib import Path

from gateway.config.addresses import parse_socket_address
from gateway.config.models import Config
from gateway.supervisor.state import running

_SECONDS = 10.0


def listens_at(config: Config, name: str, configured: str) -> str:
    """Where the running gateway has its listener `name`, `configured` if it does not say; empty when none runs."""
    state = running(config.server.state_dir)
    return "" if state is None else str(state["listeners"].get(name, configured))


def connected(address: str) -> socket.socket:
    """A TCP or UNIX socket on which nothing takes longer than ten seconds. Raises `OSError`."""
    parsed = parse_socket_address(address)
    if not isinstance(parsed, Path):
        return socket.create_connection(parsed, _SECONDS)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(_SECONDS)
        sock.connect(str(parsed))
    except OSError:
        sock.close()
        raise
    return sock
