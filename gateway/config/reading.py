"""Reads a configuration file into `Config`; every error names file, line, what was found and what is allowed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from gateway.config.models import Config
from gateway.errors import ConfigError


def load(path: Path) -> Config:
    """Read and check `path`. Raises `ConfigError` with every problem at once."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    return read(text, str(path))


def read(text: str, source: str = "configuration") -> Config:
    """Check `text`, which came from `source`. Raises `ConfigError` with every problem at once."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{source}: {error}"]) from None
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError([f"{source}: {problem['loc']}: {problem['msg']}" for problem in error.errors()]) from None
