"""Finds the class of a plugin by its name: given, in `plugin_dir`, or installed. It makes no instance."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.api import Plugin
from gateway.config.reading import did_you_mean
from gateway.errors import PluginLoadError
from gateway.hooks.local import import_local, local_file, local_names

GROUP = "stellwerk.plugins"
LOCAL = "local"

Given = Mapping[str, type[Plugin[Any]]]


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin's class, the version of the distribution it came with (`local` from a file), the file it stands in."""

    cls: type[Plugin[Any]]
    version: str
    file: str


def available() -> dict[str, metadata.EntryPoint]:
    """Installed plugins by name."""
    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


def there(plugin_dir: Path | None) -> list[str]:
    """The names of all plugins that are installed or in `plugin_dir`, sorted; nothing is imported."""
    return sorted({*available(), *local_names(plugin_dir)})


def find(name: str, plugin_dir: Path | None, place: str, given: Given) -> Found:
    """The plugin `name`: a given class before a file of `plugin_dir`, and that before an installed one.

    `place` says in error texts where the name stands. Raises `PluginLoadError` with file, line and cause.
    """
    if name in given:
        return Found(given[name], LOCAL, _source_file(given[name]))
    file = local_file(name, plugin_dir)
    if file is not None:
        return Found(_only_plugin(name, _imported(name, file), str(file)), LOCAL, str(file))
    entries = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if not entries:
        installed = ", ".join(sorted(available())) or "none"
        local = f" In {plugin_dir}: {', '.join(local_names(plugin_dir)) or 'none'}." if plugin_dir else ""
        raise PluginLoadError(
            f"{place}: there is no plugin {name!r}{did_you_mean(name, there(plugin_dir)) or '.'} "
            f"Installed: {installed}.{local} "
            "Install its package, or put it into plugin_dir, or remove it from the list"
        )
    if len({entry.value for entry in entries}) > 1:
        values = " and ".join(sorted(entry.value for entry in entries))
        raise PluginLoadError(f"{place}: two installed packages bring a plugin {name!r}: {values}. Uninstall one")
    return _installed(name, entries[0])


def _installed(name: str, entry: metadata.EntryPoint) -> Found:
    try:
        cls = entry.load()
    except (Exception, SystemExit) as error:  # an import may fail in any way; the cause goes to the admin
        raise PluginLoadError(f"{entry.value}: plugin {name} cannot be imported: {cause_of(error)}") from error
    if not inspect.isclass(cls) or not issubclass(cls, Plugin):
        raise PluginLoadError(f"{entry.value}: plugin {name} is no subclass of gateway.api.Plugin")
    return Found(cls, entry.dist.version if entry.dist else "?", _source_file(cls) or entry.value)


def _imported(name: str, file: Path) -> ModuleType:
    try:
        return import_local(name, file)
    except (Exception, SystemExit) as error:  # the file is an admin's own: anything may go wrong in it
        raise PluginLoadError(f"{file}: plugin {name} cannot be imported: {cause_of(error, file)}") from error


def _only_plugin(name: str, module: ModuleType, file: str) -> type[Plugin[Any]]:
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Plugin) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise PluginLoadError(
            f"{file}: plugin {name}: expected one subclass of gateway.api.Plugin, found {len(classes)}"
        )
    return classes[0]


def _source_file(cls: type) -> str:
    try:
        return inspect.getsourcefile(cls) or ""
    except (TypeError, OSError):  # made at run time
        return ""


def cause_of(error: BaseException, file: Path | None = None) -> str:
    """What went wrong in a plugin's code, on one line, and where: in the folder of `file` if it came by there."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [place for place in frames if Path(place[0]).parent != _HERE and "importlib" not in place[0]]
    own = [place for place in theirs if file is not None and Path(place[0]).is_relative_to(file.parent)]
    places = own or theirs
    return f"{text} ({places[-1][0]}:{places[-1][1]})" if places else text


_HERE = Path(__file__).parent
