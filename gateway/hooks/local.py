"""Imports an admin's own plugins from `plugin_dir`: NAME.py, or the folder NAME with plugin.py and what it imports.

Their modules live below the package `stellwerk_local_plugins`, so that no name of theirs can hide an installed one.
Code is compiled at every start and never taken from a cache: a file changed within a second would be the old code.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from gateway.errors import PluginLoadError

PACKAGE = "stellwerk_local_plugins"


def local_file(name: str, plugin_dir: Path | None) -> Path | None:
    """The file that holds the plugin `name`, if it is there. Raises `PluginLoadError` when two do."""
    if plugin_dir is None:
        return None
    there = [file for file in (plugin_dir / f"{name}.py", plugin_dir / name / "plugin.py") if file.is_file()]
    if len(there) > 1:
        raise PluginLoadError(f"{there[0]}: plugin {name} is there twice, in {there[1]} as well; remove one of them")
    return there[0] if there else None


def local_names(plugin_dir: Path | None) -> Iterator[str]:
    """The names of the plugins in `plugin_dir`, sorted; nothing is imported. A module without gateway.api is none."""
    if plugin_dir is None or not plugin_dir.is_dir():
        return
    for path in sorted(plugin_dir.iterdir()):
        is_module = path.suffix == ".py"
        name = path.stem if is_module else path.name
        file = path if is_module else path / "plugin.py"
        if name.isidentifier() and not name.startswith("_") and file.is_file() and b"gateway.api" in file.read_bytes():
            yield name


def import_local(name: str, file: Path) -> ModuleType:
    """The module of the plugin, imported anew with everything in its folder. Whatever its code raises comes through."""
    _ready()
    own = f"{PACKAGE}.{name}"
    for old in [module for module in sys.modules if module == own or module.startswith(f"{own}.")]:
        del sys.modules[old]
    if file != file.parent.parent / name / "plugin.py":
        return _executed(own, file, None)
    init = file.parent / "__init__.py"
    if init.is_file():
        _executed(own, init, [str(file.parent)])
    else:
        package = ModuleType(own)
        package.__path__ = [str(file.parent)]
        sys.modules[own] = package
    return importlib.import_module(f"{own}.plugin")


def _executed(name: str, file: Path, folder: list[str] | None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        name, file, loader=_Uncached(name, str(file)), submodule_search_locations=folder
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class _Uncached(SourceFileLoader):
    """Compiles the source as it is now."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _LocalFinder:
    """What a local plugin imports from its own folder."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{PACKAGE}."):
            return None
        for folder in path or ():
            # A new one each time: it remembers what the folder held when it last looked.
            finder = FileFinder(folder, (_Uncached, [".py"]), (ExtensionFileLoader, EXTENSION_SUFFIXES))
            if (found := finder.find_spec(fullname)) is not None:
                return found
        return None


def _ready() -> None:
    if PACKAGE not in sys.modules:
        package = ModuleType(PACKAGE, "Plugins from plugin_dir.")
        package.__path__ = []
        sys.modules[PACKAGE] = package
        sys.meta_path.insert(0, _LocalFinder)
