"""Checks of the Postfix on this host for `stellwerk doctor`: whether what it takes is no more than what we take.

Postfix is asked by `postconf`, which changes nothing. A Postfix that hands nothing to one of our listeners is no
concern of ours, and one on another host cannot be asked: both are silence.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.config.listener import ListenerConfig
from gateway.config.models import Config
from gateway.doctor.findings import Found, failed, ok, warning

_TIMEOUT_SECONDS = 10.0
_SERVERS_PATH = "/usr/sbin:/usr/local/sbin:/sbin"  # not on every user's path
_SETTING = re.compile(r"^(?:\S+/)?(content_filter|smtpd_proxy_filter|message_size_limit) = ?(.*)$", re.MULTILINE)


async def postfix_findings(config: Config) -> AsyncIterator[Found]:
    """Sizes, for each listener that this host's Postfix hands mail to. Raises OSError when postconf does not run."""
    postconf = shutil.which("postconf", path=f"{os.environ.get('PATH', os.defpath)}:{_SERVERS_PATH}")
    if postconf is None or not any((Path(directory) / "main.cf").is_file() for directory in _configurations()):
        return  # without main.cf postconf only complains, and takes a second for it
    main = await _run(postconf, "content_filter", "smtpd_proxy_filter", "message_size_limit")
    services = await _run(postconf, "-P")
    destinations = [value for name, value in _SETTING.findall(main + services) if name != "message_size_limit"]
    takes = next((int(value) for name, value in _SETTING.findall(main) if name == "message_size_limit"), 0)
    for listener in config.listeners:
        if any(_leads_to(destination, listener) for destination in destinations):
            yield _sizes(takes, listener, listener.max_message_bytes or config.limits.max_message_bytes)


def _configurations() -> tuple[str, ...]:
    return (os.environ.get("MAIL_CONFIG", "/etc/postfix"), "/usr/local/etc/postfix")


def _sizes(takes: int, listener: ListenerConfig, we_take: int) -> Found:
    if 0 < takes <= we_take:
        return ok(f'Postfix takes {takes} octets and listener "{listener.name}" {we_take}')
    found = f'Postfix takes {takes or "any number of"} octets and listener "{listener.name}" only {we_take}'
    todo = f"run: postconf -e message_size_limit={we_take}"
    if listener.role == "proxy":
        return warning(f"{found}: clients send in vain what is larger; {todo}")
    return failed(f"{found}: what is larger is accepted and then bounced; {todo}")


def _leads_to(destination: str, listener: ListenerConfig) -> bool:
    """Whether a content filter ("transport:[host]:port") or a proxy filter ("host:port") is this listener."""
    return re.sub(r"\[([\d.]+|localhost)\]", r"\1", destination).endswith(listener.address)


async def _run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise OSError(f"{argv[0]} does not end") from None
    return output.decode("utf-8", "replace")
