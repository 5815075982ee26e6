"""The two small protocols of systemd that the supervisor speaks: sd_notify(3) and sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping

from gateway.errors import StartupError

_FIRST_FD = 3  # SD_LISTEN_FDS_START


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tell systemd `state` (lines of sd_notify(3)); does nothing when it did not start us."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            # A notification that nobody takes must not stop a mail gateway.
            return


def notify_reloading() -> None:
    """RELOADING=1 needs the time it began (sd_notify(3), Type=notify-reload)."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def inherited_sockets(environment: MutableMapping[str, str] = os.environ) -> dict[str, socket.socket]:
    """Listening sockets that systemd opened for us, by FileDescriptorName=, which is the listener's name.

    The variables are removed, so that no child takes them for its own. Raises `StartupError`.
    """
    for_us = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count = int(environment.pop("LISTEN_FDS", "0") or "0")
    names = (environment.pop("LISTEN_FDNAMES", "").split(":") + ["?"] * count)[:count]
    if not for_us or count < 1:
        return {}
    for name in names:
        if names.count(name) > 1:
            raise StartupError(
                f'systemd passed two sockets called "{name}": give each socket unit one FileDescriptorName=, '
                "the name of its listener"
            )
    found = {name: socket.socket(fileno=_FIRST_FD + index) for index, name in enumerate(names)}
    for passed in found.values():
        passed.set_inheritable(False)
    return found
