"""Finds, checks and builds the plugins that the configuration names. Every error names file, plugin and cause."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pluggy
from pydantic import ValidationError

from gateway import hookspecs
from gateway.api import Plugin, Registry, Services, Settings
from gateway.config.locate import key_lines, nearest_line
from gateway.config.models import Config, PluginPolicyConfig
from gateway.config.reading import render_problems, shown_key
from gateway.errors import ConfigError, PluginLoadError
from gateway.hooks.finding import Found, Given, cause_of, find, there
from gateway.hooks.policy import Breaker, Policy
from gateway.hooks.registry import Declarations
from gateway.hooks.runner import Call, Runner

log = logging.getLogger("stellwerk.plugins")

HOOKS: tuple[str, ...] = tuple(
    name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")
)
_THREADS_OF_A_BLOCKING_PLUGIN = 4


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """One plugin of the chain. `version` is that of the distribution it came with; `file` where its class stands."""

    name: str
    instance: Plugin[Any]
    policy: Policy
    declared: Declarations
    version: str
    file: str


@dataclass(slots=True)
class PluginSet:
    """The loaded chain."""

    plugins: tuple[LoadedPlugin, ...] = ()
    runner: Runner = field(default_factory=lambda: Runner({}))
    pools: list[ThreadPoolExecutor] = field(default_factory=list)

    def close(self) -> None:
        for pool in self.pools:
            pool.shutdown(wait=False, cancel_futures=True)

    def get(self, name: str) -> LoadedPlugin | None:
        return next((plugin for plugin in self.plugins if plugin.name == name), None)


def load_plugins(
    config: Config, services: Mapping[str, Services] | Services, source: str = "", given: Given | None = None
) -> PluginSet:
    """Load `config.plugins` in order. `services` is one for all, or one per plugin name.

    `source` names the configuration in error texts when `config` does not know its file. Names in `given` are not
    looked up. Raises `ConfigError` with every problem found.
    """
    problems: list[str] = []
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    loaded: list[LoadedPlugin] = []
    for index, name in enumerate(config.plugins):
        try:
            own = services if isinstance(services, Services) else services[name]
            found = find(name, config.plugin_dir, _place(config, source, "plugins", index), given or {})
            loaded.append(_load_one(name, config, own, manager, found))
        except ConfigError as error:
            problems += error.problems
    problems += _unknown_sections(config, source)
    if problems:
        raise ConfigError(problems)
    calls, pools = _calls(loaded)
    return PluginSet(tuple(loaded), Runner(calls), pools)


def settings_models(names: Iterable[str], plugin_dir: Path | None = None) -> dict[str, type[Settings]]:
    """The settings of these plugins by name, for describing them. One that cannot be imported is left out."""
    found: dict[str, type[Settings]] = {}
    for name in names:
        try:
            found[name] = find(name, plugin_dir, "plugins", {}).cls.config_model
        except ConfigError as error:
            log.warning("the settings of plugin %s cannot be described: %s", name, error)
    return found


def service_log(name: str) -> logging.Logger:
    """The logger of one plugin."""
    return logging.getLogger(f"stellwerk.plugin.{name}")


def _load_one(
    name: str, config: Config, services: Services, manager: pluggy.PluginManager, found: Found
) -> LoadedPlugin:
    cls, file = found.cls, found.file
    settings, policy = _settings(name, cls, config)
    _check_hooks(name, cls, file)
    declared = Registry(name)
    try:
        instance = cls(settings, services)
        manager.register(instance, name)
        manager.check_pending()
        if "register" in vars_of(cls):
            instance.register(declared)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # a plugin's constructor may raise anything; the admin gets one line
        raise PluginLoadError(f"{file}: plugin {name}: {cause_of(error, Path(file))}") from error
    return LoadedPlugin(name, instance, policy, declared.declared, found.version, file)


def _settings(name: str, cls: type[Plugin[Any]], config: Config) -> tuple[Any, Policy]:
    table = config.plugin.get(name, {})
    shared = set(PluginPolicyConfig.model_fields)
    problems: list[str] = []
    own: Any = None
    policy = PluginPolicyConfig.model_construct()
    try:
        own = cls.config_model.model_validate(
            # A setting of the type Any or dict would else be the configuration's own object.
            copy.deepcopy({key: value for key, value in table.items() if key not in shared}),
            context={"listeners": [listener.name for listener in config.listeners]},
        )
    except ValidationError as error:
        problems += render_problems(config.source, cls.config_model, error, ("plugin", name))
    try:
        policy = PluginPolicyConfig.model_validate(table)
    except ValidationError as error:
        problems += render_problems(config.source, PluginPolicyConfig, error, ("plugin", name))
    if problems:
        raise ConfigError(problems)
    return own, Policy(policy.on_error or cls.on_error, policy.timeout_seconds or cls.timeout_seconds, policy.mode)


def _check_hooks(name: str, cls: type[Plugin[Any]], file: str) -> None:
    """Refuse what the runner cannot do in order, and hooks that would silently never be called."""
    for attribute, function in vars_of(cls).items():
        options = getattr(function, f"{hookspecs.PROJECT}_impl", None)
        where = f"{file}:{_line(function)}: plugin {name}"
        if attribute == "register" and inspect.iscoroutinefunction(function):
            raise PluginLoadError(f"{where}: register may not be async: it only declares and does no I/O")
        if options is None:
            if attribute in HOOKS and attribute != "register":
                raise PluginLoadError(f"{where}: {attribute} is a hook's name but lacks @hookimpl: it would never run")
            continue
        if attribute not in HOOKS:
            raise PluginLoadError(f"{where}: there is no hook {attribute!r}. Hooks: {', '.join(HOOKS)}")
        for option in ("tryfirst", "trylast", "wrapper", "hookwrapper"):
            if options.get(option):
                raise PluginLoadError(f"{where}: {attribute} sets {option}; order is the plugins list and nothing else")
        if inspect.isasyncgenfunction(function):
            raise PluginLoadError(f"{where}: {attribute} is an async generator; return a list instead")
        known = set(inspect.signature(getattr(hookspecs, attribute)).parameters)
        wrong = [argument for argument in _arguments(function) if argument not in known]
        if wrong:
            raise PluginLoadError(
                f"{where}: {attribute} asks for {', '.join(wrong)}; it may name {', '.join(sorted(known))}"
            )


def vars_of(cls: type) -> dict[str, Any]:
    """The attributes that a plugin class and its own bases define, without those of `Plugin` itself."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not Plugin and base.__module__ not in {"builtins", "typing"}:
            found.update(vars(base))
    return found


def _arguments(function: Any) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(function).parameters if name != "self")


def _line(function: Any) -> int:
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code is not None else 0


def _calls(loaded: list[LoadedPlugin]) -> tuple[dict[str, list[Call]], list[ThreadPoolExecutor]]:
    calls: dict[str, list[Call]] = {hook: [] for hook in HOOKS}
    pools: list[ThreadPoolExecutor] = []
    for plugin in loaded:
        pool = None
        if plugin.instance.blocking:
            pool = ThreadPoolExecutor(_THREADS_OF_A_BLOCKING_PLUGIN, f"plugin-{plugin.name}")
            pools.append(pool)
        tags = frozenset(plugin.declared.tags)
        for hook in HOOKS:
            raw = vars_of(type(plugin.instance)).get(hook)
            if raw is None or hook == "register":
                continue
            own_pool = None if inspect.iscoroutinefunction(raw) else pool
            function = getattr(plugin.instance, hook)
            # A breaker for each hook: one that works must not hide another that fails every time.
            policy = replace(plugin.policy, breaker=Breaker())
            calls[hook].append(Call(plugin.name, hook, function, _arguments(raw), policy, tags, own_pool))
    return calls, pools


def _unknown_sections(config: Config, source: str) -> list[str]:
    known = {*there(config.plugin_dir), *config.plugins}
    return [
        f"{_place(config, source, 'plugin', name)}: there is no plugin of that name; "
        f"installed: {', '.join(sorted(known))}"
        for name in config.plugin
        if name not in known
    ]


def _place(config: Config, source: str, *path: str | int) -> str:
    """File, line and key, as far as they are known."""
    key = shown_key(path)
    if config.source is None:
        return f"{source}: {key}" if source else key
    line = nearest_line(key_lines(config.source.text), path)
    return f"{config.source.name}:{line}: {key}" if line else f"{config.source.name}: {key}"
