"""Which names a plugin may have, and what is made from one. Nothing here writes a file."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec

from gateway.errors import StellwerkError

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_TAKEN = frozenset({"config", "core", "gateway", "plugin", "stellwerk", "stellwerk_plugins", "test", "tests"})
MAX_CHARACTERS = 40


class ScaffoldError(StellwerkError):
    """A plugin cannot be scaffolded there or under that name."""

    exit_status = 2


def check_name(name: str, installed: set[str]) -> None:
    """Raises `ScaffoldError` for what cannot be a plugin's name: no module name, taken, or `installed` already."""
    if not _NAME.match(name) or len(name) > MAX_CHARACTERS:
        raise ScaffoldError(
            f"{name!r} is no plugin name: expected lower-case letters, digits and underscores, a letter first, "
            f"at most {MAX_CHARACTERS} characters; try {suggestion(name)!r}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in _TAKEN:
        raise ScaffoldError(f"{name!r} has a meaning of its own; try {name + '_mail'!r}")
    if name in installed:
        raise ScaffoldError(f"there is an installed plugin {name!r} already (stellwerk plugins lists them)")


def check_package(name: str) -> None:
    """Raises `ScaffoldError` where a package of that name would hide or be hidden by another one."""
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise ScaffoldError(f"there is a Python module {name!r} already, a package of yours would hide it; "
                            f"try {name + '_mail'!r}")  # fmt: skip


def class_name(name: str) -> str:
    """`vip_tagging` as `VipTagging`."""
    return "".join(part.capitalize() for part in name.split("_"))


def suggestion(name: str) -> str:
    """The nearest good name."""
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:MAX_CHARACTERS]
    return found or "my_plugin"
