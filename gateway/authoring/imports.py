"""Which imports a plugin may have: gateway.api, itself, Python's own, and what its package says it needs."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from gateway.authoring.findings import Finding, Source

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_imports(source: Source, imports: Iterable[tuple[str, Path, int]]) -> Iterator[Finding]:
    """`imports`: module, file, line."""
    declared = _declared(source)
    distributions = metadata.packages_distributions()
    for module, file, line in imports:
        text = _flaw(module, source, declared, distributions)
        if text:
            yield Finding(str(file), line, "imports", text)


def _flaw(module: str, source: Source, declared: set[str] | None, distributions: Mapping[str, list[str]]) -> str:
    top, _, below = module.partition(".")
    if top == "gateway":
        return "" if below.partition(".")[0] == "api" else f"{module} may change at any time: import gateway.api only"
    if top == "stellwerk_plugins":
        own = below.partition(".")[0] in {"", source.name}
        return "" if own else f"{module} is another plugin: plugins never import each other"
    if top in sys.stdlib_module_names or top == source.name or top == "__future__":
        return ""
    brought_by = {_canonical(name) for name in distributions.get(top, ())}
    if not brought_by and find_spec(top) is None:
        return f"{top} is not installed here: install it, and name it in the dependencies of pyproject.toml"
    if declared is None or declared & brought_by:
        return ""
    package = ", ".join(sorted(brought_by)) or top
    return f"{top} comes from {package}, which pyproject.toml does not name: add it to the dependencies"


def _declared(source: Source) -> set[str] | None:
    """Packages that the plugin's own package needs; None when there is no package around it."""
    if source.distribution:
        return {_name(requirement) for requirement in metadata.requires(source.distribution) or ()}
    if source.folder is None:
        return None
    for folder in list(source.folder.parents)[:4]:
        file = folder / "pyproject.toml"
        if file.is_file():
            project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
            return {_name(requirement) for requirement in project.get("dependencies", ())}
    return None


def _name(requirement: str) -> str:
    found = _REQUIREMENT.match(requirement)
    return _canonical(found[0]) if found else ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
