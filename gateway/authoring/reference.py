"""The page of all plugins' tags and headers, from what they register and what their READMEs say."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gateway.api import Registry
from gateway.authoring.readme import sections
from gateway.hooks.finding import Found, find
from gateway.hooks.loader import vars_of


@dataclass(frozen=True, slots=True)
class PluginReference:
    """What one plugin writes on mail. `summary` is the README's line of "Name"; the rest is Markdown of its sections.

    `tags` are those it registers whatever its settings are; `tag_notes` is the README's section where that has others.
    """

    name: str
    summary: str
    tags: dict[str, str]
    tag_notes: str
    headers: str

    def to_json(self) -> dict[str, object]:
        return {"plugin": self.name, "summary": self.summary, "tags": self.tags, "headers": self.headers}


def references(names: Iterable[str], plugin_dir: Path | None = None) -> Iterator[PluginReference]:
    """Raises `PluginLoadError` for a name that is no plugin."""
    for name in names:
        found = find(name, plugin_dir, "plugins", {})
        said = _readme(found)
        summary = said.get("Name", (0, ""))[1].partition(" - ")[2].strip()
        headers = said.get("Headers", (0, "None."))[1]
        tags = {f"{name}.{tag}": text for tag, text in _tags(name, found).items()}
        written = said.get("Tags", (0, ""))[1]
        notes = "" if tags and set(re.findall(rf"`({name}\.\w+)`", written)) <= tags.keys() else written
        yield PluginReference(name, summary, tags, notes, headers)


def as_markdown(plugins: Iterable[PluginReference]) -> str:
    """The page docs/plugin-authors/tags-and-headers.md."""
    lines = [
        "# Tags and headers of all plugins",
        "",
        "What plugins say about mail, as `stellwerk plugins describe --markdown` prints it (a test compares).",
        "Hooks of later plugins read tags in `message.tags`; traces show them; settings of rules name them.",
        "Log lines have numbers and booleans as they are, and of texts the length only.",
    ]
    for plugin in plugins:
        lines += ["", f"## {plugin.name}", "", f"{plugin.summary[:1].upper()}{plugin.summary[1:]}.", ""]
        if plugin.tags and not plugin.tag_notes:
            lines += ["| tag | what it says |", "|---|---|"]
            lines += [f"| `{name}` | {text} |" for name, text in plugin.tags.items()]
        else:
            lines += [plugin.tag_notes or "No tags."]
        lines += ["", "Headers:" + (f" {plugin.headers}" if "\n" not in plugin.headers else f"\n\n{plugin.headers}")]
    return "\n".join(lines) + "\n"


def _tags(name: str, found: Found) -> dict[str, str]:
    """What it declares. `register` does no I/O, so an instance with default settings and nothing else will do."""
    registry = Registry(name)
    plugin = found.cls.__new__(found.cls)
    with suppress(ValidationError):  # some settings have no defaults
        plugin.config = found.cls.config_model()
    if "register" in vars_of(found.cls):
        plugin.register(registry)
    return registry.declared.tags


def _readme(found: Found) -> dict[str, tuple[int, str]]:
    file = Path(found.file).parent / "README.md"
    if not file.is_file():
        logging.getLogger("stellwerk.plugins").warning("%s has no README.md", found.file)
        return {}
    return sections(file.read_text(encoding="utf-8"))
