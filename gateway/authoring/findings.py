"""What the check of a plugin says: one finding is a place, a rule and what to do. It checks nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to change. `rule` is one of hooks, tags, imports, blocking, readme, settings, load, failure."""

    file: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.text}"

    def to_json(self) -> dict[str, str | int]:
        return {"file": self.file, "line": self.line, "rule": self.rule, "text": self.text}


@dataclass(frozen=True, slots=True)
class Source:
    """A plugin's source: the file with its class, and the folder that is all its own (None for a single module).

    `distribution` is the installed package it came with, empty for one that is not installed.
    """

    name: str
    file: Path
    folder: Path | None
    distribution: str = ""

    @property
    def plugin_dir(self) -> Path:
        """What the setting `plugin_dir` has to be for it."""
        return self.file.parent if self.folder is None else self.folder.parent

    @property
    def files(self) -> tuple[Path, ...]:
        """Every Python file of the plugin; tests beside it are none of it."""
        if self.folder is None:
            return (self.file,)
        found = (path for path in self.folder.rglob("*.py") if "tests" not in path.relative_to(self.folder).parts)
        return tuple(sorted(found))

    @property
    def readme(self) -> Path | None:
        """Where the README stands or should; a single module needs none."""
        return None if self.folder is None else self.folder / "README.md"
