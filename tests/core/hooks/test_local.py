"""Plugins of plugin_dir: a module or a folder, imported anew each time, with file, line and cause when they fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.config.describe import describe
from gateway.errors import ConfigError
from gateway.hooks.finding import Found, find, there
from gateway.hooks.loader import settings_models
from gateway.hooks.local import PACKAGE, local_names

PLUGIN = """\
from gateway.api import Plugin
from .config import Own, NUMBER
from .deeper.inner import WORD

class Mine(Plugin[Own]):
    config_model = Own
    number = NUMBER
    word = WORD
"""
SETTINGS = """\
from gateway.api import Field, Settings
NUMBER = 1
class Own(Settings):
    "What mine looks for."
    word: str = Field("invoice", description="the word")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plugin `mine` in a folder of its own, with a module beside it and a package below."""
    mine = tmp_path / "mine"
    (mine / "deeper").mkdir(parents=True)
    (mine / "plugin.py").write_text(PLUGIN)
    (mine / "config.py").write_text(SETTINGS)
    (mine / "deeper" / "__init__.py").write_text("")
    (mine / "deeper" / "inner.py").write_text("from ..config import NUMBER\nWORD = f'number {NUMBER}'\n")
    return mine


def found(folder: Path) -> Found:
    return find(folder.name, folder.parent, "plugins[0]", {})


def test_a_folder_imports_what_lies_in_it(folder: Path) -> None:
    mine = found(folder)
    assert (mine.version, mine.file) == ("local", str(folder / "plugin.py"))
    assert (mine.cls.number, mine.cls.word) == (1, "number 1")  # type: ignore[attr-defined]
    assert mine.cls.__module__ == f"{PACKAGE}.mine.plugin"


def test_a_folder_may_have_an_init(folder: Path) -> None:
    (folder / "__init__.py").write_text("PLACE = 'here'\n")
    (folder / "plugin.py").write_text(PLUGIN + "    from . import PLACE\n")
    assert found(folder).cls.PLACE == "here"  # type: ignore[attr-defined]


def test_changed_code_is_seen_though_neither_size_nor_time_tells(folder: Path) -> None:
    assert found(folder).cls.number == 1  # type: ignore[attr-defined]
    config = folder / "config.py"
    before = config.stat()
    config.write_text(SETTINGS.replace("NUMBER = 1", "NUMBER = 2"))
    assert config.stat().st_size == before.st_size
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    mine = found(folder)
    assert (mine.cls.number, mine.cls.word) == (2, "number 2")  # type: ignore[attr-defined]
    assert list(folder.rglob("__pycache__")) == [], "nothing is written into an admin's folder"


def test_a_new_file_is_seen(folder: Path) -> None:
    found(folder)
    (folder / "more.py").write_text("EXTRA = 3\n")
    (folder / "plugin.py").write_text(PLUGIN + "    from .more import EXTRA\n")
    assert found(folder).cls.EXTRA == 3  # type: ignore[attr-defined]


def test_no_name_of_a_local_plugin_hides_an_installed_one(folder: Path) -> None:
    renamed = folder.rename(folder.parent / "json")
    (renamed / "config.py").write_text(SETTINGS + "import json\nassert json.dumps(1) == '1'\n")
    assert found(renamed).cls.number == 1  # type: ignore[attr-defined]
    assert "dumps" in vars(sys.modules["json"])


BROKEN = [
    ("config.py", "import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'", 1),
    ("config.py", "\nraise RuntimeError('no luck')\n", "RuntimeError: no luck", 2),
    ("config.py", "x = (\n", "SyntaxError: '(' was never closed", 1),
    ("deeper/inner.py", "\n\nfrom ..config import Missing\n", "ImportError: cannot import name 'Missing'", 3),
]


@pytest.mark.parametrize(("file", "code", "cause", "line"), BROKEN)
def test_g11_file_line_and_cause_of_what_a_folder_imports(
    folder: Path, file: str, code: str, cause: str, line: int
) -> None:
    (folder / file).write_text(code)
    with pytest.raises(ConfigError) as refused:
        found(folder)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{folder}/plugin.py: plugin mine cannot be imported: {cause}")
    assert problem.endswith(f"({folder / file}:{line})")


def test_g11_a_module_and_a_folder_of_one_name(folder: Path) -> None:
    (folder.parent / "mine.py").write_text("")
    with pytest.raises(ConfigError, match=r"mine\.py: plugin mine is there twice, in .*/mine/plugin\.py as well"):
        found(folder)


def test_a_module_cannot_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from .other import X\n")
    (tmp_path / "other.py").write_text("X = 1\n")
    with pytest.raises(ConfigError, match=r"No module named 'stellwerk_local_plugins\.other'"):
        found(tmp_path / "mine")


def test_what_is_listed_as_a_plugin(folder: Path) -> None:
    (folder.parent / "one.py").write_text("from gateway.api import Plugin\n")
    (folder.parent / "conftest.py").write_text("import pytest\n")
    (folder.parent / "_private.py").write_text("from gateway.api import Plugin\n")
    (folder.parent / "not-a-name.py").write_text("from gateway.api import Plugin\n")
    (folder.parent / "empty").mkdir()
    assert list(local_names(folder.parent)) == ["mine", "one"]
    assert {"mine", "one", "size_limit"} <= set(there(folder.parent))
    assert list(local_names(folder.parent / "nowhere")) == []
    assert list(local_names(None)) == []


def test_the_settings_of_a_local_plugin_are_described(folder: Path) -> None:
    (table,) = [each for each in describe(settings_models(["mine"], folder.parent)) if each.header == "[plugin.mine]"]
    assert table.description == "What mine looks for."
    assert [(setting.key, setting.description) for setting in table.settings] == [("plugin.mine.word", "the word")]


def test_an_unknown_plugin_says_what_is_in_plugin_dir(folder: Path) -> None:
    said = rf"there is no plugin 'mime'; did you mean \"mine\"\? Installed: .*\. In {folder.parent}: mine\. "
    with pytest.raises(ConfigError, match=said):
        find("mime", folder.parent, "plugins[0]", {})
