"""Every Python example in docs/plugin-authors runs: its code is executed, its `test_...` functions get the fixtures."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "plugin-authors"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> str:
    """The page's Python in one piece; a block that is only a signature is none."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return "\n\n".join(block for block in found if not re.fullmatch(r"def [^\n]*: \.\.\.\n", block))


EXAMPLES = [
    pytest.param(page, name, id=f"{page.stem}-{name}")
    for page in sorted(DOCS.rglob("*.md"))
    for name in re.findall(r"^def (test_\w+)", blocks(page), re.MULTILINE)
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize(("page", "name"), EXAMPLES)
def test_an_example(page: Path, name: str, request: pytest.FixtureRequest) -> None:
    names: dict[str, Any] = {"__name__": f"example_of_{page.stem}"}
    exec(compile(blocks(page), str(page), "exec"), names)
    test = names[name]
    test(**{fixture: request.getfixturevalue(fixture) for fixture in inspect.signature(test).parameters})


@pytest.mark.slow
def test_the_examples_are_clean_for_a_type_checker(tmp_path: Path) -> None:
    for page in {page for param in EXAMPLES for page in param.values if isinstance(page, Path)}:
        (tmp_path / f"{page.stem}.py").write_text(blocks(page))
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
