"""Every dialogue of the folder `dialogues` (or of the one in STELLWERK_DIALOGUES) against the real gateway process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.security.conftest import Playground
from tests.security.dialogue import DIALOGUES, OWN_FOLDER, Dialogue, DialogueError, Stage, read_dialogue

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.path.stem)
async def test_dialogue(dialogue: Dialogue, playground: Playground) -> None:
    stage = Stage(playground.addresses[dialogue.needs], playground.sink, lambda: playground.process.output)
    await stage.play(dialogue)


ROWS = range(1, 64)


@pytest.mark.parametrize("row", ROWS)
async def test_every_row_has_a_dialogue(row: int) -> None:
    assert list(OWN_FOLDER.glob(f"p{row:02}_*.txt"))


@pytest.mark.parametrize(
    "text",
    ["listener: outbound", "c => QUIT", "s <- two hundred", "c ~> QUIT", 'sink <~ "x"', 'log holds "x"', "setting: x"],
)
async def test_a_malformed_line_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(f"# mine\n{text}\n")
    with pytest.raises(DialogueError, match=re.escape("mine.txt:2: not understood")):
        read_dialogue(path)
