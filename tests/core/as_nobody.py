"""A question asked in a child that has given up root, since root may do everything."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import StellwerkError


def let_everybody_into(directory: Path) -> None:
    """Open a test's directory and those of pytest around it, which are private. A named skip where they are others'."""
    ours = [place for place in (directory, *directory.parents) if any("pytest-of-" in part for part in place.parts)]
    if not ours:
        pytest.skip(f"{directory} lies in a directory that is not pytest's own")
    for place in ours:
        place.chmod(0o755)


def as_nobody(ask: Callable[[], str | None]) -> str:
    """What `ask` returns, or the text of the error it raises, in a child that runs as nobody."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            said = ask() or ""
        except StellwerkError as error:
            said = str(error)
        except Exception as error:  # noqa: BLE001 - the child must not go on as another test
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
