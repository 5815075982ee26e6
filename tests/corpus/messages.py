"""Real messages for tests: where they are, and how a file becomes the bytes that go over the wire."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ENDINGS = frozenset({".eml", ".msg", ".txt", ".message"})
NO_MESSAGES = frozenset({"NOTICE.txt", "README.txt"})
_LINE_END = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class CorpusMessage:
    """One file of the corpus. `content` has CRLF line ends and ends with one: what a client sends."""

    name: str
    content: bytes

    @property
    def excuse(self) -> str:
        """Why a gateway may refuse it, if it may: nothing else justifies a refusal."""
        rest = self.content.replace(b"\r\n", b"")
        if any(byte in rest for byte in (b"\r", b"\n", b"\0")):
            return "bare CR, LF or NUL"
        if any(len(line) > 2048 for line in self.content.split(b"\r\n")):
            return "a line of more than 2,048 octets"
        head = self.content.partition(b"\r\n\r\n")[0]
        if len(re.findall(rb"(?im)^received:", head)) > 50:
            return "more than 50 Received fields"
        return ""


def folder() -> Path:
    """$STELLWERK_CORPUS, else the corpus beside the checkout. Skips the test, by name, where there is none."""
    path = Path(os.environ.get("STELLWERK_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
    if not path.is_dir():
        pytest.skip(f"no real messages: {path.name}/ is not there; set STELLWERK_CORPUS to a folder of messages")
    return path


def messages() -> list[CorpusMessage]:
    """Every message of the folder, in the order of their names."""
    root = folder()
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.suffix in ENDINGS
        and path.name not in NO_MESSAGES
        and not path.name.startswith("LIC")
    )
    return [CorpusMessage(str(path.relative_to(root)), on_the_wire(path.read_bytes())) for path in files]


def on_the_wire(content: bytes) -> bytes:
    """The file's bytes with CRLF line ends, a last one included. A bare CR stays what it is."""
    lines = _LINE_END.sub(b"\r\n", content)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def signed() -> tuple[list[dict[str, Any]], dict[str, list[dict[str, str]]]]:
    """The messages whose DKIM signature verifies offline, and the keys. Skips where the index is missing."""
    index = folder() / "dkim-index"
    if not (index / "verified.json").is_file():
        pytest.skip("no index of signed messages (dkim-index/verified.json) in the corpus")
    return json.loads((index / "verified.json").read_text()), json.loads((index / "dns-keys.json").read_text())
