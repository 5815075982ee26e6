"""Runs the cases about names, states and claims of ../shared/dns/cases.jsonl, or of STELLWERK_DNS_CASES."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.dns.kinds.lifecycle import RUNNERS

VARIABLE = "STELLWERK_DNS_CASES"
DEFAULT_FILE = Path(__file__).parents[3] / "shared" / "dns" / "cases.jsonl"


def load() -> list[dict[str, Any]]:
    """Every case of these kinds; none when the default file is not there. A file that was named must exist."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else DEFAULT_FILE
    if not named and not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [case for case in map(json.loads, filter(str.strip, lines)) if case["check"] in RUNNERS]


CASES = {case["name"]: case for case in load()}


@pytest.mark.skipif(not CASES, reason=f"no DNS cases: {VARIABLE} is not set and {DEFAULT_FILE} is absent")
@pytest.mark.parametrize("name", CASES)
async def test_case(name: str) -> None:
    await RUNNERS[CASES[name]["check"]](CASES[name])
