"""`--to FILE` and `--force` of exports: addresses and names of people, which only whoever exports them may read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes: into the file, or to standard output where none was named."""

    path: Path | None
    force: bool

    def must_be_free(self) -> None:
        """Before the work is done. Raises `FileError`."""
        from gateway.private_file import must_be_free

        if self.path is not None:
            must_be_free(self.path, force=self.force)

    def write(self, content: bytes, what: str) -> None:
        """Mode 0600; `what` was written is told. Raises `FileError`, OSError."""
        from gateway.private_file import write

        if self.path is None:
            sys.stdout.buffer.write(content)
        else:
            write(self.path, content, force=self.force)
            click.echo(f"wrote {what} to {self.path}")


def to_options(command: F) -> F:
    """The command gets them as `target: Path | None` and `force: bool`."""
    forced = click.option("--force", is_flag=True, help="Overwrite FILE when it is there.")(command)
    return click.option(
        "--to",
        "target",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Into this file, which only you may read; else standard output.",
    )(forced)
