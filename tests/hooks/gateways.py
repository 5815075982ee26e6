"""A whole gateway process with one plugin, on a database of its own."""

from __future__ import annotations

from pathlib import Path

from gateway.app import Gateway, ProcessRole
from gateway.config import read
from tests.hooks.walk import CONFIG


def gateway(directory: Path, names: str, role: ProcessRole = "smtp") -> Gateway:
    """Not started yet. `names`: plugins of `directory`, as they stand in the list."""
    tables = f'[store]\nurl = "sqlite:///{directory}/test.db"\nauto_upgrade = true\n'
    text = CONFIG.format(plugins=names, tables=tables).replace("[server]", f'[server]\nstate_dir = "{directory}"', 1)
    return Gateway(read(f'plugin_dir = "{directory}"\n{text}', "test.toml"), role=role)


def write(directory: Path, name: str, hooks: str) -> None:
    """A plugin that notes what it is told in a file of its directory, one word a line."""
    (directory / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from gateway.api import Plugin, hookimpl\n"
        f"def note(word):\n    with Path({str(directory / 'notes')!r}).open('a') as file:\n"
        "        print(word, file=file)\n"
        f"class Mine(Plugin):\n{hooks}",
        encoding="utf-8",
    )


def notes(directory: Path) -> list[str]:
    """What the plugins noted so far."""
    file = directory / "notes"
    return file.read_text(encoding="utf-8").split() if file.exists() else []
