"""Reads a plugin's code without running it: hooks, tags, headers, imports, calls that are known to block."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway import hookspecs
from gateway.authoring.findings import Finding
from gateway.hooks.loader import HOOKS

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OPTIONS = ("tryfirst", "trylast", "wrapper", "hookwrapper")
BLOCKING_CALLS = {
    "time.sleep": "await asyncio.sleep(...)",
    "os.system": "asyncio.create_subprocess_exec",
    "socket.create_connection": "asyncio.open_connection",
    "socket.getaddrinfo": "self.services.dns or the loop's getaddrinfo",
    "socket.gethostbyname": "self.services.dns or the loop's getaddrinfo",
    "urllib.request.urlopen": "asyncio.to_thread",
    **{
        f"subprocess.{name}": "asyncio.create_subprocess_exec" for name in ("run", "call", "check_call", "check_output")
    },
    **{
        f"requests.{name}": "asyncio.to_thread" for name in ("get", "post", "put", "patch", "delete", "head", "request")
    },
}


@dataclass(slots=True)
class Code:
    """What the files of a plugin say. Names map to the place where they stand first."""

    findings: list[Finding] = field(default_factory=list)
    tags_used: dict[str, tuple[Path, int]] = field(default_factory=dict)
    tags_declared: dict[str, tuple[Path, int]] = field(default_factory=dict)
    headers: dict[str, tuple[Path, int]] = field(default_factory=dict)
    imports: list[tuple[str, Path, int]] = field(default_factory=list)
    declares_by_rule: bool = False
    """Whether a tag's name is worked out at run time: then what is not declared can be seen only then."""

    def undeclared_tags(self) -> Iterator[Finding]:
        for name, (file, line) in self.tags_used.items():
            if name not in self.tags_declared and not self.declares_by_rule:
                yield Finding(str(file), line, "tags", undeclared(name))


def undeclared(name: str) -> str:
    return f'tag "{name}" is not declared: add registry.tag("{name}", "what it says") to register()'


def read_code(files: tuple[Path, ...]) -> Code:
    """Everything at once. A file that does not parse is a finding."""
    code = Code()
    for file in files:
        try:
            tree = ast.parse(file.read_bytes(), str(file))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            code.findings.append(Finding(str(file), line, "load", f"no Python: {getattr(error, 'msg', error)}"))
            continue
        _File(code, file, tree).read()
    code.findings += code.undeclared_tags()
    return code


class _File:
    """One file on its way into `Code`."""

    def __init__(self, code: Code, file: Path, tree: ast.Module) -> None:
        self._code = code
        self._file = file
        self._tree = tree
        self._names: dict[str, str] = {}
        """Local names of imported things: `sleep` is `time.sleep`."""

    def read(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.ClassDef):
                self._class(node)

    def _add(self, node: ast.AST, rule: str, text: str) -> None:
        self._code.findings.append(Finding(str(self._file), getattr(node, "lineno", 1), rule, text))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._names[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else (alias.name.partition(".")[0])
            )
            self._code.imports.append((alias.name, self._file, node.lineno))

    def _import_from(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            return
        for alias in node.names:
            self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        named = [f"{node.module}.{alias.name}" for alias in node.names]
        # `from gateway import api` is the module gateway.api.
        found = named if node.module == "gateway" else [node.module]
        self._code.imports += [(module, self._file, node.lineno) for module in found]

    def _call(self, node: ast.Call) -> None:
        called = self._dotted(node.func)
        last = called.rpartition(".")[2]
        first = (
            _text(node.args[0])
            if node.args
            else next((_text(keyword.value) for keyword in node.keywords if keyword.arg == "name"), None)
        )
        here = (self._file, node.lineno)
        if last == "Tag" and first is not None:
            self._code.tags_used.setdefault(first, here)
        elif last == "tag" and isinstance(node.func, ast.Attribute) and node.args:
            if first is None:
                self._code.declares_by_rule = True
            else:
                self._code.tags_declared.setdefault(first, here)
        elif last in {"AddHeader", "ReplaceHeader", "RemoveHeader"} and first is not None:
            self._code.headers.setdefault(first, here)

    def _class(self, node: ast.ClassDef) -> None:
        is_plugin = any(self._dotted(_unsubscripted(base)).rpartition(".")[2] == "Plugin" for base in node.bases)
        is_blocking = any(
            isinstance(member, ast.Assign | ast.AnnAssign)
            and _assigned(member) == "blocking"
            and isinstance(member.value, ast.Constant)
            and member.value.value is True
            for member in node.body
        )
        for member in node.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                self._method(member, is_plugin=is_plugin, is_blocking=is_blocking)

    def _method(self, node: _Function, *, is_plugin: bool, is_blocking: bool) -> None:
        marks = [mark for mark in node.decorator_list if self._dotted(_called(mark)).rpartition(".")[2] == "hookimpl"]
        if not marks:
            if is_plugin and node.name in HOOKS and node.name != "register":
                self._add(node, "hooks", f"{node.name} is a hook's name but lacks @hookimpl: it would never run")
            if not is_plugin or node.name not in HOOKS:
                return
        if node.name not in HOOKS:
            near = difflib.get_close_matches(node.name, HOOKS, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"hooks are: {', '.join(HOOKS)}"
            self._add(node, "hooks", f'there is no hook "{node.name}"; {hint}')
            return
        self._signature(node, marks)
        if not is_blocking or isinstance(node, ast.AsyncFunctionDef):
            self._blocking(node)

    def _signature(self, node: _Function, marks: list[ast.expr]) -> None:
        known = list(inspect.signature(getattr(hookspecs, node.name)).parameters)
        given = node.args
        named = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]
        named += [extra.arg for extra in (given.vararg, given.kwarg) if extra is not None]
        wrong = [name for name in named if name not in known]
        if wrong:
            self._add(node, "hooks", f"{node.name} asks for {', '.join(wrong)}; it may name {', '.join(known)}")
        for mark in marks:
            for keyword in mark.keywords if isinstance(mark, ast.Call) else ():
                if keyword.arg in _OPTIONS:
                    text = (
                        f"{node.name} sets {keyword.arg}; the order is the list `plugins` and nothing else: remove it"
                    )
                    self._add(mark, "hooks", text)
        if isinstance(node, ast.AsyncFunctionDef):
            if node.name == "register":
                self._add(node, "hooks", "register may not be async: it only declares")
            elif any(isinstance(inner, ast.Yield) for inner in _own_nodes(node)):
                self._add(node, "hooks", f"{node.name} is an async generator; return a list instead")

    def _blocking(self, node: _Function) -> None:
        for inner in _own_nodes(node):
            called = self._dotted(inner.func) if isinstance(inner, ast.Call) else ""
            if called in BLOCKING_CALLS:
                self._add(inner, "blocking", blocks(f"{called} in {node.name}", BLOCKING_CALLS[called]))

    def _dotted(self, node: ast.expr) -> str:
        """`a.b.c` with the first name as it was imported; empty for anything else."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""


def blocks(what: str, instead: str) -> str:
    return f"{what} stops the event loop, and all mail with it: use {instead}, or set blocking = True for sync hooks"


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""
