"""A hook of `gateway/hookspecs.py` without tests or page fails here; so do a page that lies and a file too many."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from gateway import hookspecs
from gateway.api import Plugin
from gateway.hooks.loader import HOOKS

HERE = Path(__file__)
FILES = {path.stem.removeprefix("test_"): path for path in HERE.parent.glob("test_*.py") if path != HERE}
DOCS = Path(__file__).parents[2] / "docs" / "plugin-authors"
PAGES = {path.stem: path for path in (DOCS / "hooks").glob("*.md")}


def test_each_hook_has_its_file_and_each_file_its_hook() -> None:
    assert set(HOOKS) == set(FILES)


@pytest.mark.parametrize("hook", HOOKS)
def test_each_file_has_tests_of_its_hook_and_one_of_its_failures(hook: str) -> None:
    found = own_tests(hook, FILES[hook].read_text(encoding="utf-8"))
    assert len(found) > 1
    assert [name for name in found if name.startswith("test_g1_")], "catalogue row G1: raises in each hook"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ('"""route_recipient: where to?"""', []),
        ("def test_g1_x():\n    pass", []),
        ("def test_g1_x():\n    assert chain('route_recipients')", []),
        ("def helper():\n    chain('route_recipient')", []),
        ("WORD = 'route_recipient'\ndef test_x():\n    assert True", []),
        ("def test_x():\n    chain('route_recipient')", ["test_x"]),
        ("class TestX:\n    async def test_x(self):\n        plugin.route_recipient()", ["test_x"]),
        ("WORD = 'def route_recipient(self):'\ndef inner():\n    use(WORD)\ndef test_x():\n    inner()", ["test_x"]),
    ],
)
def test_a_test_of_a_hook_names_it_or_uses_what_names_it(text: str, found: list[str]) -> None:
    assert own_tests("route_recipient", text) == found


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


def own_tests(hook: str, text: str) -> list[str]:
    """The test functions of a module that name the hook, themselves or in what they use of the module."""
    tree = ast.parse(text)
    used: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            used[node.name] = node
        elif isinstance(node, ast.Assign):
            used |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and _names(hook, node, used)
    ]


def _names(hook: str, node: ast.AST, used: dict[str, ast.AST]) -> bool:
    waiting, seen = [node], set()
    while waiting:
        for part in ast.walk(waiting.pop()):
            match part:
                case ast.Constant(value=str(text)) if re.search(rf"\b{hook}\b", text):
                    return True
                case ast.Attribute(attr=name) if name == hook:
                    return True
                case ast.Name(id=name) if name in used and name not in seen:
                    seen.add(name)
                    waiting.append(used[name])
    return False
