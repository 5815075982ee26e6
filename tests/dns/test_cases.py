"""Runs the DNS cases of ../shared/dns/cases.jsonl (or of the file in STELLWERK_DNS_CASES) against real DNS servers.

Every case is run; one of a kind that `RUNNERS` does not name fails. A case whose expectation is held to be wrong stands
in `CONTESTED` with the section of the RFC that says otherwise.
"""

from __future__ import annotations

import pytest

from tests.dns.cases import CASE_FIELDS, DEFAULT_FILE, VARIABLE, load
from tests.dns.kinds import RUNNERS

CONTESTED: dict[str, str] = {}
MAX_CONTESTED = 3

ALL_CASES = load()
CASES = {case["name"]: case for case in ALL_CASES if case["name"] not in CONTESTED}

needs_cases = pytest.mark.skipif(
    not ALL_CASES, reason=f"no DNS cases: {VARIABLE} is not set and {DEFAULT_FILE} is absent"
)


@needs_cases
@pytest.mark.parametrize("name", CASES)
async def test_case(name: str) -> None:
    case = CASES[name]
    unknown = set(case) - CASE_FIELDS
    assert not unknown, f"the runner does not know the fields {sorted(unknown)}: the case would run only in part"
    assert case["check"] in RUNNERS, f"no runner for cases of '{case['check']}': add it to tests/dns/kinds/__init__.py"
    await RUNNERS[case["check"]](case)


@needs_cases
def test_every_case_is_collected() -> None:
    names = {case["name"] for case in ALL_CASES}
    assert len(names) == len(ALL_CASES), "two cases have the same name"
    assert len(CONTESTED) <= MAX_CONTESTED
    assert set(CASES) == names - set(CONTESTED)
    parametrised = [mark for mark in getattr(test_case, "pytestmark", []) if mark.name == "parametrize"]
    assert len(parametrised[0].args[1]) == len(CASES)
