"""register: a plugin declares what it brings, once, before anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import read
from gateway.errors import ConfigError
from gateway.hooks.loader import PluginSet, load_plugins
from gateway.hooks.named import addresses_in
from tests.core.hooks.test_loader import NoDirectory, NoDns
from tests.hooks.walk import CONFIG, services

PLUGIN = """
from gateway.api import Plugin, Registry, hookimpl

class Mine(Plugin):
    calls = []

    @hookimpl
    def register(self, registry: Registry) -> None:
        self.calls.append(registry.plugin)
        registry.tag("seen", "the sender is known")
        registry.job("sync", "tell the other side")
        {more}
"""

NAMES = """
from gateway.api import Address, Field, Plugin, Registry, Settings

class Names(Settings):
    boss: str = Field(description="who decides")
    others: list[str] = Field([], description="who is told")

class Mine(Plugin[Names]):
    config_model = Names

    def register(self, registry: Registry) -> None:
        registry.address(Address.parse(self.config.boss), ("boss",), "the boss is")
        for index, each in enumerate(self.config.others):
            registry.address(Address.parse(each), ("others", index), "notices go to")
"""


def load(directory: Path, more: str = "", tables: str = "") -> PluginSet:
    (directory / "mine.py").write_text(PLUGIN.format(more=more), encoding="utf-8")
    config = read(f'plugin_dir = "{directory}"\n' + CONFIG.format(plugins='"mine"', tables=tables))
    return load_plugins(config, services(NoDirectory(), NoDns()))


def test_it_runs_once_and_what_was_declared_is_known_by_the_plugins_name(tmp_path: Path) -> None:
    loaded = load(tmp_path).get("mine")
    assert loaded is not None
    assert vars(type(loaded.instance))["calls"] == ["mine"]
    assert loaded.declared.tags == {"seen": "the sender is known"}
    assert loaded.declared.job_kinds == {"sync": "tell the other side"}


def test_it_is_no_part_of_any_chain(tmp_path: Path) -> None:
    assert load(tmp_path).runner.chain("register") == ()


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("self.absent()", "AttributeError: 'Mine' object has no attribute 'absent'"),
        ("registry.tag('seen', 'again')", "ValueError: 'seen' is declared twice"),
        ("registry.tag('Not A Name', '')", "ValueError: 'Not A Name': a name is lower-case letters"),
    ],
)
@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
def test_g1_a_failure_refuses_to_start_even_under_skip(tmp_path: Path, more: str, cause: str, on_error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, more, f'[plugin.mine]\non_error = "{on_error}"\n')
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'mine.py'}: plugin mine: ")
    assert cause in problem


TABLES = """
[plugin.mine]
boss = "anna@example.test"
others = [
    "bo@example.test",
]
"""


def test_addresses_that_the_settings_name_are_known_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NAMES, encoding="utf-8")
    config = read(f'plugin_dir = "{tmp_path}"\n' + CONFIG.format(plugins='"mine"', tables=TABLES), "the.toml")
    assert config.source is not None
    lines = config.source.text.splitlines()
    found = addresses_in(config, load_plugins(config, services(NoDirectory(), NoDns())).plugins)
    assert [(str(each.address), each.key, each.what, each.file) for each in found] == [
        ("anna@example.test", "plugin.mine", "the boss is", "the.toml"),
        ("bo@example.test", "plugin.mine", "notices go to", "the.toml"),
    ]
    assert [lines[(each.line or 0) - 1] for each in found] == ['boss = "anna@example.test"', '    "bo@example.test",']
