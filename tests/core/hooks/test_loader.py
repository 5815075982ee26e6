"""Loading plugins: what is refused, and that each refusal names file, plugin and cause."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gateway import hookspecs
from gateway.config import Config, read
from gateway.errors import ConfigError
from gateway.hooks import finding, loader
from gateway.hooks.loader import HOOKS, PluginSet, load_plugins
from gateway.mail.reply import TOO_BIG
from tests.hooks.walk import CONFIG, NoStore, services

HEAD = "from gateway.api import *\nfrom gateway.api import Plugin, hookimpl, Settings, Tag, Reply, reply\n"
Write = Callable[..., None]


class NoDns:
    async def mail_domain(self, domain: str, role: str) -> Any:
        raise AssertionError(domain)


class NoDirectory:
    def hosts(self, domain: str) -> bool:
        return False

    def is_local(self, address: object) -> bool:
        return False

    smallest_message_limit: int | None = None

    async def has_mailbox(self, address: object) -> bool:
        return False

    async def mailbox(self, address: object) -> None:
        return None


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts one file of the admin's own plugins there."""

    def put(body: str, name: str = "mine", head: str = HEAD) -> None:
        (tmp_path / f"{name}.py").write_text(head + body, encoding="utf-8")

    return put


def config(plugin_dir: Path, *names: str, tables: str = "") -> Config:
    listed = ", ".join(f'"{name}"' for name in names)
    text = CONFIG.format(plugins=listed, tables=tables)
    return read(f'plugin_dir = "{plugin_dir}"\n{text}', "test.toml")


def load(plugin_dir: Path, *names: str, tables: str = "") -> PluginSet:
    return load_plugins(config(plugin_dir, *names, tables=tables), services(NoDirectory(), NoDns()))


def problems(plugin_dir: Path, *names: str, tables: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(plugin_dir, *(names or ("mine",)), tables=tables)
    assert caught.value.exit_status == 2
    for problem in caught.value.problems:
        assert "\n" not in problem, "one line a problem"
        assert "Traceback" not in problem
    return caught.value.problems


def plugin(*hooks: str, base: str = "Plugin") -> str:
    """A class `Mine` with these lines in its body."""
    body = "".join(f"    {line}\n" for hook in hooks for line in hook.splitlines())
    return f"class Mine({base}):\n" + (body or "    pass\n")


REFUSED = [
    pytest.param("import nowhere", "ModuleNotFoundError: No module named 'nowhere'", id="import"),
    pytest.param("from gateway.api import Missing", "ImportError: cannot import name 'Missing'", id="missing name"),
    pytest.param("class Mine(Plugin", "SyntaxError: '(' was never closed (", id="syntax"),
    pytest.param("raise RuntimeError('two\\nlines')", "RuntimeError: two lines (", id="raises"),
    pytest.param("raise SystemExit(3)", "SystemExit: 3 (", id="exits"),
    pytest.param("", "expected one subclass of gateway.api.Plugin, found 0", id="no class"),
    pytest.param("class A(Plugin): pass\nclass B(Plugin): pass", "found 2", id="two classes"),
    pytest.param("class Mine: pass", "found 0", id="no plugin class"),
    pytest.param(
        plugin("@hookimpl\ndef smtp_mial(self): ..."), "there is no hook 'smtp_mial'. Hooks: register, ", id="unknown"
    ),
    pytest.param(
        plugin("def smtp_mail(self): ..."), "smtp_mail is a hook's name but lacks @hookimpl: it would never run",
        id="missing hookimpl",
    ),
    pytest.param(
        plugin("@hookimpl\ndef smtp_mail(self, sender, subject, wishes): ..."),
        "smtp_mail asks for subject, wishes; it may name params, sender, session, size", id="wrong arguments",
    ),
    pytest.param(
        plugin("@hookimpl\ndef smtp_mail(self, **more): ..."), "smtp_mail asks for more; it may name", id="any of them"
    ),
    *(
        pytest.param(
            plugin(f"@hookimpl({option}=True)\ndef smtp_mail(self): ..."),
            f"smtp_mail sets {option}; order is the plugins list and nothing else", id=option,
        )
        for option in ("tryfirst", "trylast", "wrapper", "hookwrapper")
    ),
    pytest.param(
        plugin("@hookimpl\nasync def message_annotate(self):\n    yield None"),
        "message_annotate is an async generator; return a list instead", id="async generator",
    ),
    pytest.param(
        plugin("@hookimpl\nasync def register(self, registry): ..."), "register may not be async", id="async register"
    ),
    pytest.param(plugin("def __init__(self): ..."), "TypeError: ", id="constructor with other arguments"),
    pytest.param(
        plugin("def __init__(self, config, services):\n    raise OSError('no luck')"), "OSError: no luck (",
        id="constructor raises",
    ),
    pytest.param(
        plugin("def register(self, registry):\n    registry.tag('seen', '')\n    registry.tag('seen', '')"),
        "ValueError: 'seen' is declared twice", id="tag declared twice",
    ),
    pytest.param(
        plugin("def register(self, registry):\n    raise SystemExit('bye')"), "SystemExit: bye (", id="register exits"
    ),
    pytest.param(
        "from sqlalchemy import MetaData, Table\n"
        + plugin("def register(self, registry):\n    registry.table(Table('contacts', MetaData()))"),
        "ValueError: table 'contacts': the tables of mine begin with mine_", id="table of another name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "cause"), REFUSED)
def test_g11_each_refusal_names_file_plugin_and_cause(tmp_path: Path, write: Write, body: str, cause: str) -> None:
    write(body)
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{tmp_path / 'mine.py'}:")
    assert "plugin mine" in problem
    assert cause in problem


def test_g11_the_line_of_the_cause(tmp_path: Path, write: Write) -> None:
    write("\n\nraise RuntimeError('broken')")
    (problem,) = problems(tmp_path)
    assert problem.endswith(f"({tmp_path / 'mine.py'}:5)")
    write(plugin("@hookimpl\ndef smtp_mial(self): ..."))
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{tmp_path / 'mine.py'}:4: plugin mine: ")


def test_every_problem_of_every_plugin_at_once(tmp_path: Path, write: Write) -> None:
    write("raise RuntimeError('one')", "one")
    write("class Mine(Plugin): pass", "two")
    write("raise RuntimeError('three')", "three")
    tables = "[plugin.two]\nwrong = 1\non_error = 'ignore'\n[plugin.four]\nx = 1\n"
    found = problems(tmp_path, "one", "two", "three", "unheard_of", tables=tables)
    assert len(found) == 6
    for part in ("RuntimeError: one", "RuntimeError: three", "plugin.two.wrong", "plugin.two.on_error"):
        assert sum(part in problem for problem in found) == 1


def test_an_unknown_plugin_says_where_and_what_there_is(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "size_limt")
    assert problem.startswith("test.toml:3: plugins[0]: there is no plugin 'size_limt'. Installed: ")
    assert "domain_check" in problem
    assert "size_limit" in problem
    assert problem.endswith("Install its package, or put it into plugin_dir, or remove it from the list")


def test_settings_of_a_plugin_that_is_not_there(tmp_path: Path, write: Write) -> None:
    write(plugin())
    tables = "[plugin.size_limit]\nmax_message_bytes = 5\n[plugin.unheard_of]\nx = 1\n"
    (problem,) = problems(tmp_path, tables=tables)
    assert problem.startswith("test.toml:")
    assert "plugin.unheard_of: there is no plugin of that name; installed: " in problem


SETTINGS = "class Own(Settings):\n    words: list[str] = []\n    number: int = 3\n"


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('number = "many"', "plugin.mine.number"),
        ("nunber = 1", "plugin.mine.nunber"),
        ("words = 7", "plugin.mine.words"),
        ('words = ["a", 1]', "plugin.mine.words[1]"),
        ('on_error = "ignore"', "plugin.mine.on_error"),
        ("timeout_seconds = 0", "plugin.mine.timeout_seconds"),
        ('mode = "shadows"', "plugin.mine.mode"),
    ],
)
def test_wrong_settings_name_the_line(tmp_path: Path, write: Write, table: str, key: str) -> None:
    write(SETTINGS + plugin("config_model = Own"))
    (problem,) = problems(tmp_path, tables=f"[plugin.mine]\n{table}\n")
    line = config(tmp_path, tables=f"[plugin.mine]\n{table}\n").source
    assert line is not None
    assert problem.startswith(f"test.toml:{line.text.splitlines().index(table) + 1}: ")
    assert key in problem


def test_settings_and_policy_reach_the_plugin(tmp_path: Path, write: Write) -> None:
    write(SETTINGS + plugin("config_model = Own", 'on_error = "skip"', "timeout_seconds = 3.0"))
    loaded = load(tmp_path, "mine", tables="[plugin.mine]\nnumber = 9\n").get("mine")
    assert loaded is not None
    assert (loaded.instance.config.number, loaded.instance.config.words) == (9, [])
    assert (loaded.policy.on_error, loaded.policy.timeout_seconds, loaded.policy.mode) == ("skip", 3.0, "live")
    tables = '[plugin.mine]\non_error = "tempfail"\ntimeout_seconds = 0.5\nmode = "shadow"\n'
    loaded = load(tmp_path, "mine", tables=tables).get("mine")
    assert loaded is not None
    assert (loaded.policy.on_error, loaded.policy.timeout_seconds, loaded.policy.mode) == ("tempfail", 0.5, "shadow")
    assert loaded.instance.config.number == 3


def test_without_settings_the_policy_is_the_cautious_one(tmp_path: Path, write: Write) -> None:
    write(plugin())
    loaded = load(tmp_path, "mine").get("mine")
    assert loaded is not None
    assert (loaded.policy.on_error, loaded.policy.timeout_seconds, loaded.policy.mode) == ("tempfail", 10.0, "live")
    assert (loaded.version, loaded.file) == ("local", str(tmp_path / "mine.py"))


HOOK = "@hookimpl\ndef message_received(self):\n    return Tag('seen')"
DECLARE = "def register(self, registry):\n    registry.tag('seen', 'always')"


async def test_the_chain_is_the_list_and_nothing_else(tmp_path: Path, write: Write) -> None:
    for name in ("a", "b", "c"):
        write(plugin(DECLARE, HOOK), name)
    for order in (("a", "b", "c"), ("c", "a", "b")):
        runner = load(tmp_path, *order).runner
        assert [call.plugin for call in runner.chain("message_received")] == list(order)
        outcome = await runner.until_rejection("message_received", [], message=None)
        assert list(outcome.tags) == [f"{name}.seen" for name in order]


async def test_a_hook_names_the_arguments_it_wants(tmp_path: Path, write: Write) -> None:
    hook = "@hookimpl\nasync def smtp_mail(self, size, sender):\n    return Tag('seen', f'{sender} {size}')"
    write(plugin(DECLARE, hook))
    runner = load(tmp_path, "mine").runner
    arguments = {"session": None, "sender": "anna", "size": 7, "params": None}
    outcome = await runner.until_rejection("smtp_mail", [], **arguments)
    assert outcome.tags == {"mine.seen": "anna 7"}


async def test_hooks_are_inherited_and_may_be_overridden(tmp_path: Path, write: Write) -> None:
    base = (
        "class _Base:\n"
        + plugin(HOOK, "@hookimpl\ndef smtp_connect(self):\n    return reply.TOO_BIG").partition("\n")[2]
    )
    write(base + plugin(DECLARE, "@hookimpl\ndef smtp_connect(self):\n    return None", base="_Base, Plugin"))
    runner = load(tmp_path, "mine").runner
    assert (await runner.until_rejection("message_received", [])).tags == {"mine.seen": True}
    assert (await runner.until_rejection("smtp_connect", [])).answer is None


async def test_a_blocking_plugin_has_threads_of_its_own(tmp_path: Path, write: Write) -> None:
    hook = (
        "@hookimpl\ndef message_received(self):\n    import threading\n"
        "    return Tag('seen', threading.current_thread().name)"
    )
    coroutine = (
        "@hookimpl\nasync def smtp_connect(self):\n    import threading\n"
        "    return Tag('seen', threading.current_thread().name)"
    )
    write(plugin("blocking = True", DECLARE, hook, coroutine))
    found = load(tmp_path, "mine")
    try:
        sync = await found.runner.until_rejection("message_received", [])
        assert str(sync.tags["mine.seen"]).startswith("plugin-mine")
        coroutine_tags = await found.runner.until_rejection("smtp_connect", [])
        assert coroutine_tags.tags["mine.seen"] == threading.current_thread().name
    finally:
        found.close()


async def test_an_undeclared_tag_is_refused_when_it_comes(tmp_path: Path, write: Write) -> None:
    write(plugin(HOOK))
    story: list[dict[str, Any]] = []
    runner = load(tmp_path, "mine", tables='[plugin.mine]\non_error = "skip"\n').runner
    assert (await runner.until_rejection("message_received", story)).tags == {}
    assert story[0]["error"] == "tag 'seen' was not declared at register()"


def test_declarations_are_kept_under_the_plugins_name(tmp_path: Path, write: Write) -> None:
    write(plugin(DECLARE))
    loaded = load(tmp_path, "mine").get("mine")
    assert loaded is not None
    assert loaded.declared.tags == {"seen": "always"}


def test_each_plugin_gets_its_own_services(tmp_path: Path, write: Write) -> None:
    for name in ("a", "b"):
        write(plugin(), name)
    own = {name: services(NoDirectory(), NoDns()) for name in ("a", "b")}
    found = load_plugins(config(tmp_path, "a", "b"), own)
    assert [each.instance.services for each in found.plugins] == [own["a"], own["b"]]
    assert isinstance(own["a"].store, NoStore)
    assert loader.service_log("a") is logging.getLogger("stellwerk.plugin.a")


def test_a_folder_with_a_plugin_file_is_a_plugin_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "plugin.py").write_text(HEAD + plugin(DECLARE, HOOK), encoding="utf-8")
    loaded = load(tmp_path, "mine").get("mine")
    assert loaded is not None
    assert loaded.file == str(tmp_path / "mine" / "plugin.py")


def test_a_file_of_the_admins_comes_before_an_installed_plugin(tmp_path: Path, write: Write) -> None:
    write(plugin(DECLARE, HOOK), "size_limit")
    loaded = load(tmp_path, "size_limit").get("size_limit")
    assert loaded is not None
    assert loaded.version == "local"


def entry_points(monkeypatch: pytest.MonkeyPatch, **values: str | list[str]) -> None:
    """As if these were the installed plugins."""
    installed = [
        metadata.EntryPoint(name, value, finding.GROUP)
        for name, found in values.items()
        for value in ([found] if isinstance(found, str) else found)
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: installed if group == finding.GROUP else [])


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("nowhere_to_be_found.plugin:Mine", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("gateway.api:Missing", "AttributeError: module 'gateway.api' has no attribute 'Missing'"),
        ("gateway.api:Reply", "is no subclass of gateway.api.Plugin"),
        ("gateway.api:hookimpl", "is no subclass of gateway.api.Plugin"),
    ],
)
def test_g11_an_installed_plugin_that_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, cause: str
) -> None:
    entry_points(monkeypatch, mine=value)
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{value}: plugin mine")
    assert cause in problem


def test_g11_two_packages_with_a_plugin_of_one_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry_points(monkeypatch, mine=["b.plugin:Mine", "a.plugin:Mine"])
    (problem,) = problems(tmp_path)
    assert problem == (
        "test.toml:3: plugins[0]: two installed packages bring a plugin 'mine': a.plugin:Mine and b.plugin:Mine. "
        "Uninstall one"
    )


def test_one_package_seen_twice_on_the_path_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    value = "stellwerk_plugins.size_limit.plugin:SizeLimit"
    entry_points(monkeypatch, size_limit=[value, value])
    assert load(tmp_path, "size_limit").get("size_limit") is not None


def test_the_shipped_plugins_load_with_their_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, "size_limit", "domain_check")
    for each in found.plugins:
        assert each.policy.on_error == "tempfail"
        assert each.version not in {"?", "local"}
        assert Path(each.file).is_file()
    found.close()


def test_the_hooks_are_those_of_the_specification() -> None:
    assert HOOKS[:3] == ("register", "gateway_startup", "gateway_shutdown")
    for name in HOOKS:
        assert (getattr(hookspecs, name).__doc__ or "").strip(), f"{name} is not described"


async def test_no_hooks_no_cost(tmp_path: Path, write: Write) -> None:
    write(plugin(DECLARE, HOOK, "@hookimpl\ndef smtp_connect(self):\n    return reply.TOO_BIG"))
    runner = load(tmp_path, "mine").runner
    assert {hook for hook in HOOKS if runner.chain(hook)} == {"message_received", "smtp_connect"}
    assert (await runner.until_rejection("smtp_connect", [])).answer == TOO_BIG
    assert await runner.collect("message_annotate", []) == []
