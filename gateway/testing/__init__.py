"""What authors of plugins test with: `from gateway.testing import message, Clock, Sink`; see docs/plugin-authors.

Nothing here needs pytest but `gateway.testing.pytest_plugin`, and the running gateway imports nothing from here. Names
are imported when they are first used, so that loading the pytest plugin costs other tests nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.testing.clock import Clock
    from gateway.testing.dns_server import DnsServer
    from gateway.testing.hook_calls import call_hook, make_plugin
    from gateway.testing.messages import message, plan, received, session, transaction
    from gateway.testing.outcomes import Copy, Explained, HookCall, Sent, Trace
    from gateway.testing.process import ProcessGateway
    from gateway.testing.running import RunningGateway
    from gateway.testing.sink import Answer, Sink, SinkMessage
    from gateway.testing.starting import StartDns, StartGateway, StartProcess

_MODULES = {
    "clock": ("Clock",),
    "dns_server": ("DnsServer",),
    "hook_calls": ("call_hook", "make_plugin"),
    "messages": ("message", "plan", "received", "session", "transaction"),
    "outcomes": ("Copy", "Explained", "HookCall", "Sent", "Trace"),
    "process": ("ProcessGateway",),
    "running": ("RunningGateway",),
    "sink": ("Answer", "Sink", "SinkMessage"),
    "starting": ("StartDns", "StartGateway", "StartProcess"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Answer",
    "Clock",
    "Copy",
    "DnsServer",
    "Explained",
    "HookCall",
    "ProcessGateway",
    "RunningGateway",
    "Sent",
    "Sink",
    "SinkMessage",
    "StartDns",
    "StartGateway",
    "StartProcess",
    "Trace",
    "call_hook",
    "make_plugin",
    "message",
    "plan",
    "received",
    "session",
    "transaction",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
