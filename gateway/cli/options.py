"""Options that several commands share. Nothing here does a command's work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.models import Config

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_VARIABLE = "STELLWERK_CONFIG"
_USUAL_PLACES = (Path("conf/stellwerk.toml"), Path("/etc/stellwerk/stellwerk.toml"))


def default_config_path() -> Path:
    """$STELLWERK_CONFIG, else the first of the usual places that exists, else the last of them."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    return next((path for path in _USUAL_PLACES if path.exists()), _USUAL_PLACES[-1])


def config_option(command: F) -> F:
    """`--config FILE`; the command gets it as `config_path: Path`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=default_config_path,
        show_default="$STELLWERK_CONFIG, conf/stellwerk.toml or /etc/stellwerk/stellwerk.toml",
        help="The configuration file.",
    )(command)


def json_option(command: F) -> F:
    """`--json`; the command gets it as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")(command)


def existing(path: Path) -> Path:
    """`path`; when it is only the default and not there, `ConfigError` says where was looked."""
    if path == _USUAL_PLACES[-1] and not path.exists() and not os.environ.get(CONFIG_VARIABLE):
        places = " and no ".join(str(place) for place in (Path.cwd() / _USUAL_PLACES[0], _USUAL_PLACES[-1]))
        raise ConfigError([f"there is no {places}, and ${CONFIG_VARIABLE} is not set; name the file with --config"])
    return path


def read_config(path: Path) -> Config:
    """The configuration at `path`. Raises `ConfigError`."""
    # pydantic takes longer to import than all the rest of the command line.
    from gateway.config.reading import load

    return load(existing(path))
