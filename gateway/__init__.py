"""Stellwerk, a plugin-based mail gateway. Plugins import `gateway.api`; everything else here is the core's own."""

__version__ = "0.1.0"
