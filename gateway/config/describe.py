"""Every setting in words: what it is for, its default, what is allowed. Read from the models; no text is kept here."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config.models import Config, PluginPolicyConfig

_TYPE_WORDS: Mapping[Any, str] = {str: "a string", Path: "a path", bool: "true or false", float: "a number"}
_TABLES = "tables, each under its own [[...]]"
_BOUNDS = (("ge", "at least {}"), ("gt", "more than {}"), ("le", "at most {}"), ("lt", "less than {}"))


@dataclass(frozen=True, slots=True)
class Setting:
    """One key.

    `default` is None for a required key and for one whose absence is its own meaning; `default_text` says which.
    """

    key: str
    allowed: str
    description: str
    required: bool
    default: Any
    default_text: str

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "allowed": self.allowed,
            "description": self.description,
            "required": self.required,
            "default": self.default,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file: its header as it is written, what it is for, its keys."""

    header: str
    description: str
    settings: tuple[Setting, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "header": self.header,
            "description": self.description,
            "settings": [setting.to_json() for setting in self.settings],
        }


def describe(plugins: Mapping[str, type[BaseModel]] | None = None) -> tuple[Table, ...]:
    """All tables of the configuration, top-level keys first, in the order of the models; then those of `plugins`."""
    settings, tables = _table_members(Config, "")
    own = [table for name, model in (plugins or {}).items() for table in _plugin_tables(name, model)]
    return (Table("", "Keys that stand above the first table.", tuple(settings)), *tables, *own)


def _plugin_tables(name: str, model: type[BaseModel]) -> Iterator[Table]:
    settings, inner = _table_members(model, f"plugin.{name}.")
    yield Table(f"[plugin.{name}]", (model.__doc__ or "").strip(), tuple(settings))
    yield from inner


def key_name(name: str, field: FieldInfo) -> str:
    """The key as the file has it: pydantic's alias where there is one."""
    return field.alias or name


def expectation(field: FieldInfo) -> str:
    """What a value of this field may be, as half a sentence: `a whole number, at least 1 and at most 64`."""
    if said := _said(field, "allowed"):
        return said
    return _with_bounds(*_kind(field.annotation), field.metadata)


def type_words(annotation: Any) -> str:
    """As `expectation`, of a type alone."""
    return _with_bounds(*_kind(annotation), [])


def table_models(annotation: Any) -> dict[str, type[BaseModel]]:
    """The models that a field of this type holds: by the value of their `kind` when there are several, else by ""."""
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"": annotation}
    members = [_bare(member) for member in get_args(annotation)] if _is_union(annotation) else []
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    return {get_args(model.model_fields["kind"].annotation)[0]: model for model in models}


def child_annotation(annotation: Any) -> Any:
    """The type of the elements of a list or of the values of a table of tables; None for any other type."""
    annotation = _bare(annotation)
    origin = get_origin(annotation)
    if origin is list:
        return get_args(annotation)[0]
    return get_args(annotation)[1] if origin is dict else None


def is_array_of_tables(annotation: Any) -> bool:
    """Whether a field of this type is written as tables under [[...]]."""
    annotation = _bare(annotation)
    return get_origin(annotation) is list and bool(table_models(get_args(annotation)[0]))


def _table_members(model: type[BaseModel], prefix: str) -> tuple[list[Setting], list[Table]]:
    settings: list[Setting] = []
    tables: list[Table] = []
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] != "kind"):
        key = f"{prefix}{key_name(name, field)}"
        # A field that says itself what it takes is one key; so a tree of conditions ends.
        nested = [] if _said(field, "allowed") else list(_nested_tables(key, field.annotation))
        if nested:
            tables += nested
        elif key == "plugin":
            policy, _ = _table_members(PluginPolicyConfig, "plugin.NAME.")
            what = "Settings of one plugin: these, and the plugin's own (its README lists them)."
            tables.append(Table("[plugin.NAME]", what, tuple(policy)))
        else:
            settings.append(_setting(key, field))
    return settings, tables


def _nested_tables(key: str, annotation: Any) -> Iterator[Table]:
    element = child_annotation(annotation)
    if get_origin(_bare(annotation)) is list:
        header, prefix = f"[[{key}]]", f"{key}[]."
    elif element is not None:
        header, prefix = f"[{key}.NAME]", f"{key}.NAME."
    else:
        header, prefix = f"[{key}]", f"{key}."
    for kind, model in table_models(element if element is not None else annotation).items():
        settings, inner = _table_members(model, prefix)
        shown = f'{header} with kind = "{kind}"' if kind else header
        yield Table(shown, (model.__doc__ or "").strip(), tuple(settings))
        yield from inner


def _setting(key: str, field: FieldInfo) -> Setting:
    default: Any = None
    if field.default is not PydanticUndefined:
        default = str(field.default) if isinstance(field.default, Path) else field.default
    shown = _said(field, "default") or (
        "required" if field.is_required() else "none" if default is None else toml_value(default)
    )
    return Setting(key, expectation(field), field.description or "", field.is_required(), default, shown)


def _said(field: FieldInfo, what: str) -> str:
    """What the model says of a field where its type does not say it well: `allowed` or `default`."""
    extra = field.json_schema_extra
    return str(extra.get(what, "")) if isinstance(extra, dict) else ""


def _bare(annotation: Any) -> Any:
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in {Union, types.UnionType}


def _kind(annotation: Any) -> tuple[str, list[Any]]:
    """The type in words, and the constraints that travel inside it."""
    metadata: list[Any] = []
    while get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        # pydantic unpacks `Field(...)` into constraints only where it stands for the whole field.
        metadata += [part for each in inner for part in (each.metadata if isinstance(each, FieldInfo) else [each])]
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not types.NoneType]
        texts = [_with_bounds(*_kind(member), []) for member in members if not table_models(member)]
        return (" or ".join(texts) or "a table"), metadata
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f'"{value}"' for value in get_args(annotation)), metadata
    if get_origin(annotation) is list:
        if table_models(get_args(annotation)[0]):
            return _TABLES, metadata
        return "a list of " + _kind(get_args(annotation)[0])[0].removeprefix("a ") + "s", metadata
    if annotation is int:
        return "a whole number", metadata
    return _TYPE_WORDS.get(annotation, "a table"), metadata


def _with_bounds(kind: str, inner: list[Any], metadata: list[Any]) -> str:
    constraints = [*inner, *metadata]
    found = [
        text.format(_number(getattr(constraint, name)))
        for constraint in constraints
        for name, text in _BOUNDS
        if getattr(constraint, name, None) is not None
    ]
    lengths = {name: getattr(c, name) for c in constraints for name in ("min_length", "max_length") if hasattr(c, name)}
    elements = "elements" if kind.startswith("a list") else "tables" if kind == _TABLES else "characters"
    if (shortest := lengths.get("min_length", 0)) > 1:
        found.append(f"at least {shortest} {elements}")
    elif shortest:
        found.append("at least one" if kind == _TABLES else "not empty")
    if longest := lengths.get("max_length"):
        found.append(f"at most {longest} {elements}")
    return f"{kind}, {' and '.join(found)}" if found else kind


def _number(value: float) -> str:
    return f"{value:_}" if isinstance(value, int) else f"{value:g}"


def toml_value(value: Any) -> str:
    """A default as one would write it in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(element) for element in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_text(tables: tuple[Table, ...]) -> str:
    """The description for a terminal."""
    lines: list[str] = []
    for table in tables:
        lines += [table.header or "(top of the file)", f"  {table.description}", ""]
        for setting in table.settings:
            name = setting.key.rpartition(".")[2]
            lines += [f"  {name}", f"      {setting.description}"]
            lines += [f"      {setting.allowed}; default: {setting.default_text}", ""]
    return "\n".join(lines).rstrip() + "\n"


def as_markdown(tables: tuple[Table, ...]) -> str:
    """The description as the page docs/admin/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Every setting of `stellwerk.toml`, as `stellwerk config describe --markdown` prints it (a test compares).",
        "Relative paths are taken from the working directory of `stellwerk serve`.",
    ]
    for table in tables:
        lines += ["", f"## {f'`{table.header}`' if table.header else 'Top of the file'}", "", table.description]
        if not table.settings:
            continue
        lines += ["", "| key | what it does | allowed | default |", "|---|---|---|---|"]
        for setting in table.settings:
            name, default = setting.key.rpartition(".")[2], setting.default_text
            shown = default if " " in default or default in {"required", "none"} else f"`{default}`"
            lines.append(f"| `{name}` | {_escaped(setting.description)} | {_escaped(setting.allowed)} | {shown} |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([|<>])", r"\\\1", text)
