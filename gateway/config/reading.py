"""Reads a configuration file into `Config`; every error names file, line, what was found and what is allowed.

What may be configured is said in `models`; nothing here knows a single key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.describe import (
    child_annotation,
    expectation,
    is_array_of_tables,
    key_name,
    table_models,
    type_words,
)
from gateway.config.locate import KeyPath, key_lines, nearest_line
from gateway.config.models import Config
from gateway.config.problems import Problem, SettingsError, Source, contradictions
from gateway.config.syntax import syntax_problem
from gateway.errors import ConfigError

MAX_SHOWN_CHARACTERS = 60

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_ARRAYS = [key_name(name, field) for name, field in Config.model_fields.items() if is_array_of_tables(field.annotation)]
_FOUND_WORDS = ((bool, "a boolean"), (int, "a whole number"), (float, "a number"), (str, "a string"))


def load(path: Path) -> Config:
    """Read and check `path`. Raises `ConfigError` with every problem at once."""
    return read(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a configuration file; a byte order mark is dropped. Raises `ConfigError`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        hint = "; name the file with --config" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([f"{path}: {error.strerror}{hint}"]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: found the byte 0x{raw[error.start]:02x}; expected UTF-8 text"]) from None


def plugin_dir_of(path: Path) -> Path | None:
    """The `plugin_dir` that the file names, whatever else is wrong with it; None without file, TOML or such a key."""
    named = _raw(path).get("plugin_dir")
    return Path(named) if isinstance(named, str) else None


def settings_of(path: Path, plugin: str) -> dict[str, Any]:
    """The table [plugin.NAME] as it stands in the file; empty without file, TOML or such a table."""
    tables = _raw(path).get("plugin")
    found = tables.get(plugin) if isinstance(tables, dict) else None
    return found if isinstance(found, dict) else {}


def _raw(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except (ConfigError, tomllib.TOMLDecodeError):
        return {}


def read(text: str, source: str = "configuration") -> Config:
    """Check `text`, which came from the file `source`. Raises `ConfigError` with every problem at once."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_problem(source, text, error, _ARRAYS)]) from None
    try:
        config = Config.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = list(_problems(Config, error))
        if not any(isinstance(_cause(detail), SettingsError) and not detail["loc"] for detail in error.errors()):
            problems += _contradictions_of(data)
        raise ConfigError(render(Source(source, text), problems)) from None
    config._source = Source(source, text)
    return config


def render_problems(
    source: Source | None, model: type[BaseModel], error: ValidationError, under: KeyPath = ()
) -> list[str]:
    """One text for each problem of `error`, which came from validating `model` on the table at `under` in the file.

    `source` is `Config.source`; without it the texts carry no file and line.
    """
    return render(source, [Problem((*under, *path), text) for path, text in _problems(model, error, under)])


def render(source: Source | None, problems: Sequence[Problem]) -> list[str]:
    """The texts of `problems`, in the order of the file, each behind `file:line: ` as far as that is known."""
    if source is None:
        return [problem.text for problem in problems]
    lines = key_lines(source.text)
    placed = [(nearest_line(lines, problem.path), problem.text) for problem in problems]
    placed.sort(key=lambda item: item[0] or 0)
    return [
        f"{source.name}:{line}: {what}" if line else f"{source.name}: {what}" for line, what in dict.fromkeys(placed)
    ]


class _Place(NamedTuple):
    """Where in the models an error's location leads: the key path in the file, the table's model, the field.

    `annotation` is the type at the very end of the location, which for an element of a list is not the field's.
    """

    path: KeyPath
    model: type[BaseModel] | None
    field: FieldInfo | None
    annotation: Any


def _contradictions_of(data: Mapping[str, Any]) -> list[Problem]:
    """What pydantic would find after everything else is right, from data of which some may have the wrong type."""

    def table(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    def text(value: Any, key: str) -> str:
        found = table(value).get(key, "")
        return found if isinstance(found, str) else ""

    plugins, listeners = data.get("plugins"), data.get("listener")
    found = contradictions(
        plugins if isinstance(plugins, list) else [],
        [(text(one, "name"), text(one, "address")) for one in listeners] if isinstance(listeners, list) else [],
        {name: text(hop, "address") for name, hop in table(data.get("next_hop")).items()},
        {role: text(data.get("routing"), role) for role in ("hosted", "outbound", "own")} if "next_hop" in data else {},
    )
    return [Problem(problem.path, f"{shown_key(problem.path)}: {problem.text}") for problem in found]


def _problems(model: type[BaseModel], error: ValidationError, under: KeyPath = ()) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        place = _place(model, detail["loc"])
        cause = _cause(detail)
        if isinstance(cause, SettingsError):
            for path, text in cause.problems:
                path = (*place.path, *path)
                yield Problem(path, f"{shown_key((*under, *path))}: {text}")
        else:
            at = (*place.path, "kind") if detail["type"] == "union_tag_invalid" else place.path
            yield Problem(at, _text(detail, cause, place, under))


def _cause(detail: ErrorDetails) -> object:
    return detail.get("ctx", {}).get("error")


def _place(model: type[BaseModel], location: tuple[str | int, ...]) -> _Place:
    """Follow pydantic's location; the tags of unions and `[key]` in it are no keys of the file."""
    path: KeyPath = ()
    table: type[BaseModel] | None = model
    field: FieldInfo | None = None
    annotation: Any = model
    for step in location:
        if step == "[key]":
            continue
        models = table_models(annotation)
        if step in models and step:
            table, annotation = models[str(step)], models[str(step)]
            continue
        path = (*path, step)
        if "" in models:
            table = models[""]
            field = next((f for name, f in table.model_fields.items() if step in {name, f.alias}), None)
            annotation = field.annotation if field else None
        else:
            annotation = child_annotation(annotation)
    return _Place(path, table, field, annotation)


def _text(detail: ErrorDetails, cause: object, place: _Place, under: KeyPath) -> str:
    kind, key, value = detail["type"], shown_key((*under, *place.path)), detail["input"]
    if kind == "missing":
        what = f" ({place.field.description})" if place.field and place.field.description else ""
        return f"{key} is missing; expected {_expectation(place, detail)}{what}"
    if kind == "extra_forbidden":
        return _unknown_key(key, str(place.path[-1]), place)
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        kinds = list(table_models(place.annotation))
        either = "expected one of " + ", ".join(f'"{name}"' for name in kinds)
        if kind == "union_tag_not_found":
            return f"{key}.kind is missing; {either}"
        tag = detail.get("ctx", {}).get("tag")
        return f"found {_shown(tag)} at {key}.kind; {either}{did_you_mean(str(tag), kinds)}"
    if kind == "list_type" and isinstance(value, dict) and is_array_of_tables(place.annotation):
        return f"found [{key}]; write [[{key}]], since there may be several"
    if cause is not None:
        return f"found {_found(detail, place)} at {key}; {str(cause).removeprefix(f'{value!r}: ')}"
    allowed = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    nearest = did_you_mean(value, allowed) if isinstance(value, str) else ""
    return f"found {_found(detail, place)} at {key}; expected {_expectation(place, detail)}{nearest}"


def _expectation(place: _Place, detail: ErrorDetails) -> str:
    if place.field is None or place.annotation is None:
        return detail["msg"][:1].lower() + detail["msg"][1:]
    return expectation(place.field) if place.annotation is place.field.annotation else type_words(place.annotation)


def _unknown_key(key: str, name: str, place: _Place) -> str:
    if place.model is None:
        return f"found the unknown key {key}"
    known = [key_name(field_name, field) for field_name, field in place.model.model_fields.items()]
    return f"found the unknown key {key}; " + (did_you_mean(name, known)[2:] or f"known here: {', '.join(known)}")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`; did you mean "size_limit"?` for a name that is almost one of those known, else nothing."""
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f'; did you mean "{matches[0]}"?' if matches else ""


def _found(detail: ErrorDetails, place: _Place) -> str:
    """What was found, with its type when that is what is wrong. A value that may hold a password is not shown."""
    value = detail["input"]
    word = next((word for kind, word in _FOUND_WORDS if isinstance(value, kind)), None)
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if place.field is not None and not place.field.repr:
        return word or "a value"
    shown = _shown(value)
    return f"{shown} ({word})" if word and detail["type"].endswith("_type") else shown


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    text = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{printable}"' if isinstance(value, str) else printable


def shown_key(path: KeyPath) -> str:
    """A key path as a person writes it: `listener[0].address`, `hosted."example.test".mailboxes`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE_KEY.match(step) else f'"{step}"')
    return text
