"""Whether a plugin's README has its fixed sections and names every setting, tag and header. It judges no prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.authoring.findings import Finding

SECTIONS = ("Name", "What it does", "Settings", "Tags", "Headers", "Failure", "Examples")
_HEADING = re.compile(r"^##\s+(.+?)\s*$", re.MULTILINE)


def check_readme(
    file: Path, *, settings: Iterable[str] = (), tags: Iterable[str] = (), headers: Iterable[str] = ()
) -> Iterator[Finding]:
    """`tags` are full names, `plugin.tag`; `settings` the keys of [plugin.NAME]."""
    if not file.is_file():
        yield Finding(str(file), 1, "readme", f"there is no README.md; it has the sections {', '.join(SECTIONS)}")
        return
    found = sections(file.read_text(encoding="utf-8"))
    for name in SECTIONS:
        if name not in found:
            yield Finding(str(file), 1, "readme", f'the section "## {name}" is missing')
    for section, names in (("Settings", settings), ("Tags", tags), ("Headers", headers)):
        line, text = found.get(section, (0, ""))
        for name in names:
            if line and not re.search(rf"`[^`\n]*(?<![\w-]){re.escape(name)}(?![\w-])[^`\n]*`", text):
                yield Finding(str(file), line, "readme", f'"## {section}" does not name `{name}`')


def sections(text: str) -> dict[str, tuple[int, str]]:
    """Line number and text of each section under a heading of the second level."""
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return {
        heading[1]: (text.count("\n", 0, heading.start()) + 1, text[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    }
