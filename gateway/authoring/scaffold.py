"""Writes the first version of a plugin: code, settings, README, test, and outside the checkout a project around it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from gateway.authoring.naming import ScaffoldError, check_name, check_package, class_name
from gateway.hooks.finding import GROUP, available

_ENTRY_POINTS = f'[project.entry-points."{GROUP}"]'


@dataclass(frozen=True, slots=True)
class Scaffolded:
    """What was made: every file that was written or changed, and what to do next, a line each."""

    files: tuple[Path, ...]
    next_steps: tuple[str, ...]


def scaffold(name: str, into: Path | None) -> Scaffolded:
    """Make the plugin `name`: in the Stellwerk checkout around the working directory, or in `into`/NAME as a project.

    Raises `ScaffoldError` before anything is written: for a bad name, and when a file is there already.
    """
    check_name(name, set(available()))
    checkout = checkout_around(Path.cwd()) if into is None else into.resolve() if is_checkout(into) else None
    return _in_checkout(name, checkout) if checkout is not None else _as_project(name, into or Path())


def checkout_around(place: Path) -> Path | None:
    """The Stellwerk checkout that `place` lies in."""
    return next((folder for folder in (place, *place.parents) if is_checkout(folder)), None)


def is_checkout(folder: Path) -> bool:
    """Whether this is the top of Stellwerk's own source."""
    file = folder / "pyproject.toml"
    if not file.is_file() or not (folder / "plugins" / "stellwerk_plugins").is_dir():
        return False
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False
    return bool(found.get("project", {}).get("name") == "stellwerk")


def _as_project(name: str, into: Path) -> Scaffolded:
    check_package(name)
    top = into / name
    texts = {
        top / "pyproject.toml": _text("pyproject.toml", name),
        top / "conftest.py": _text("conftest.py", name),
        top / "tests" / f"test_{name}.py": _text("test_plugin.py", name, package=name),
        **dict(_package(top / name, name)),
    }
    _write(texts)
    shown = top.resolve()
    return Scaffolded(
        tuple(texts),
        (
            f"cd {top}",
            _step("python -m pytest", "its own tests"),
            _step(f"stellwerk plugins check {name}", "lints it and tries it on sample messages"),
            "",
            "Load it without packaging: in stellwerk.toml",
            f'    plugins = [..., "{name}"]',
            f'    plugin_dir = "{shown}"',
            "or as a wheel: pip wheel --no-deps . && pip install --no-deps stellwerk_*.whl (no plugin_dir then)",
        ),
    )


def _in_checkout(name: str, checkout: Path) -> Scaffolded:
    project = checkout / "pyproject.toml"
    texts = {
        checkout / "tests" / "plugins" / name / f"test_{name}.py": _text(
            "test_plugin.py", name, package=f"stellwerk_plugins.{name}"
        ),
        **dict(_package(checkout / "plugins" / "stellwerk_plugins" / name, name)),
    }
    registered = _registered(project.read_text(encoding="utf-8"), name)
    _write(texts)
    project.write_text(registered, encoding="utf-8")
    return Scaffolded(
        (*texts, project),
        (
            _step("make setup", "registers the entry point"),
            _step(f"stellwerk plugins check {name}", "lints it and tries it on sample messages"),
            f".venv/bin/pytest -n0 tests/plugins/{name}",
            f'then put "{name}" into the list `plugins` of conf/stellwerk.toml, with [plugin.{name}] for its settings,',
            "write its README first, and renew the pages made from plugins:",
            "    stellwerk config describe --markdown > docs/admin/configuration.md",
            "    stellwerk plugins describe --markdown > docs/plugin-authors/tags-and-headers.md",
        ),
    )


def _step(command: str, what: str) -> str:
    return f"{command:<50}# {what}"


def _package(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield folder / "__init__.py", ""
    for file in ("plugin.py", "config.py", "README.md"):
        yield folder / file, _text(file, name)


def _text(template: str, name: str, package: str = "") -> str:
    source = (files("gateway.authoring") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(source).substitute(
        name=name,
        class_name=class_name(name),
        imports=_imports(package, class_name(name)),
        header="X-" + "-".join(part.capitalize() for part in name.split("_")),
        distribution="stellwerk-" + name.replace("_", "-"),
    )


def _imports(package: str, name: str) -> str:
    """The test's imports in the order that isort's rules give: in the checkout the gateway is first-party."""
    own = f"from {package}.plugin import {name}"
    kit = "from gateway.testing import Sink, StartGateway, call_hook, make_plugin, message, received"
    return "\n\n".join((own, kit) if package.startswith("stellwerk_plugins.") else (kit, own))


def _registered(project: str, name: str) -> str:
    """pyproject.toml with the entry point, and the plugin among those that must not import each other."""
    header, found, rest = project.partition(f"{_ENTRY_POINTS}\n")
    if not found:
        raise ScaffoldError(f"pyproject.toml has no {_ENTRY_POINTS}")
    lines, end, after = rest.partition("\n\n")
    line = f'{name} = "stellwerk_plugins.{name}.plugin:{class_name(name)}"'
    project = f"{header}{found}{lines}\n{line}{end}{after}"
    contract = re.compile(r'(name = "plugins do not import each other"\ntype = "independence"\nmodules = \[[^\]]*)\]')
    return contract.sub(lambda match: f'{match[1]}, "stellwerk_plugins.{name}"]', project)


def _write(texts: dict[Path, str]) -> None:
    there = [path for path in texts if path.exists()]
    if there:
        raise ScaffoldError(f"{there[0]} is there already; nothing was written. Choose another name or remove it first")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
