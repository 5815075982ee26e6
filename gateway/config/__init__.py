"""The configuration: frozen models (`models`), reading a file with errors that point at its lines (`reading`)."""

from gateway.config.listener import ListenerConfig
from gateway.config.models import (
    Config,
    DnsConfig,
    HostedConfig,
    JournalConfig,
    LimitsConfig,
    LogConfig,
    PluginPolicyConfig,
    RoutingConfig,
    ServerConfig,
    StoreConfig,
    TraceConfig,
)
from gateway.config.next_hop import LmtpNextHopConfig, MaildirNextHopConfig, NextHopConfig, SmtpNextHopConfig
from gateway.config.reading import load, read

__all__ = [
    "Config",
    "DnsConfig",
    "HostedConfig",
    "JournalConfig",
    "LimitsConfig",
    "ListenerConfig",
    "LmtpNextHopConfig",
    "LogConfig",
    "MaildirNextHopConfig",
    "NextHopConfig",
    "PluginPolicyConfig",
    "RoutingConfig",
    "ServerConfig",
    "SmtpNextHopConfig",
    "StoreConfig",
    "TraceConfig",
    "load",
    "read",
]
