"""The configuration of a gateway under test: three listeners on free ports, and one next hop for everything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LISTENERS: Mapping[str, Mapping[str, object]] = {
    "mx": {},
    "queue": {"protocol": "lmtp", "role": "filter", "trusted_peers": ["127.0.0.1/32"]},
    "out": {"role": "filter", "direction": "outbound", "trusted_peers": ["127.0.0.1/32"]},
}


def config_text(
    directory: Path,
    plugins: Iterable[str] = (),
    *,
    next_hop: str,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    plugin_dir: Path | None = None,
    mailboxes: Iterable[str] = ("*",),
    nameservers: Iterable[str] = (),
    more: str = "",
) -> str:
    """The text of a stellwerk.toml that keeps everything below `directory`.

    Listeners: `mx` (inbound SMTP), `queue` (LMTP behind a queue) and `out` (outbound SMTP behind a queue). `mailboxes`
    are those of example.test; their mail and all other goes to `next_hop`, an "host:port". `settings` has the keys of
    each [plugin.NAME]. `more` is TOML for the end of the file.
    """
    tables: list[tuple[str, Mapping[str, object]]] = [
        ("[server]", {"hostname": "gw.example.test", "state_dir": str(directory / "state")}),
        ("[store]", {"url": f"sqlite:///{directory}/state/stellwerk.db", "auto_upgrade": True}),
    ]
    tables += [("[[listener]]", {"name": name, "address": "127.0.0.1:0", **keys}) for name, keys in _LISTENERS.items()]
    tables += [(f"[next_hop.{name}]", {"kind": "smtp", "address": next_hop}) for name in ("mail", "relay")]
    tables += [
        ("[routing]", {"hosted": "mail", "outbound": "relay"}),
        ('[hosted."example.test"]', {"mailboxes": list(mailboxes)}),
        ("[dns]", {"nameservers": list(nameservers) or ["127.0.0.1:1"]}),
    ]
    tables += [(f"[plugin.{name}]", keys) for name, keys in (settings or {}).items()]
    top: dict[str, object] = {"plugins": list(plugins)}
    if plugin_dir is not None:
        top["plugin_dir"] = str(plugin_dir)
    parts = [_keys(top), *(f"{header}\n{_keys(keys)}" for header, keys in tables), more]
    return "\n".join(parts)


def _keys(table: Mapping[str, object]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _key(key: object) -> str:
    return json.dumps(str(key))


def _value(value: object) -> str:
    """A value as TOML; a JSON string is a TOML string."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return json.dumps(value) if isinstance(value, bool | int | float) else json.dumps(str(value))
