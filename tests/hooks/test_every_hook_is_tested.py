"""A hook of `gateway/hookspecs.py` without test file or page fails here; so do a page that lies and a file too many."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from gateway import hookspecs
from gateway.api import Plugin
from gateway.hooks.loader import HOOKS

FILES = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {"every_hook_is_tested"}
DOCS = Path(__file__).parents[2] / "docs" / "plugin-authors"
PAGES = {path.stem: path for path in (DOCS / "hooks").glob("*.md")}


def test_each_hook_has_its_file_and_each_file_its_hook() -> None:
    assert set(HOOKS) == FILES


def test_each_hook_has_its_page_and_each_page_its_hook() -> None:
    assert set(HOOKS) == set(PAGES)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_page_has_the_exact_signature(hook: str) -> None:
    page = PAGES[hook].read_text(encoding="utf-8")
    shown = re.search(r"```python\n(def .*?)\n```", page, re.DOTALL)
    assert shown is not None
    assert shown[1] == signature(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_page_names_every_argument_and_says_all_there_is_to_say(hook: str) -> None:
    page = PAGES[hook].read_text(encoding="utf-8")
    for argument in inspect.signature(getattr(hookspecs, hook)).parameters:
        assert f"- `{argument}`: " in page
    for part in ("**When.** ", "**Arguments.** ", "**Returns.** ", "**Failure.** ", "## Example"):
        assert part in page


def test_the_overview_lists_the_hooks_in_their_order() -> None:
    overview = (DOCS / "hooks.md").read_text(encoding="utf-8")
    assert re.findall(r"\| \[`(\w+)`\]\(hooks/\1\.md\)", overview) == list(HOOKS)


def test_the_base_class_declares_every_hook_for_type_checkers() -> None:
    tree = ast.parse(inspect.getsource(Plugin))
    declared = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} - {"__init__"}
    assert declared == set(HOOKS)


def signature(hook: str) -> str:
    """As it stands in hookspecs, on one line."""
    (function,) = ast.parse(inspect.getsource(getattr(hookspecs, hook))).body
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    function.body = [ast.Expr(ast.Constant(...))]
    return ast.unparse(function).replace(":\n    ...", ": ...")
