"""gateway_startup: the process is about to take work."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import ProcessRole
from gateway.errors import StartupError
from tests.hooks.gateways import gateway, notes, write

NOTE = "    @hookimpl\n    async def gateway_startup(self, gateway):\n        note(f'{0}-{{gateway.role}}')\n"
BROKEN = "    on_error = '{0}'\n    @hookimpl\n    {1}def gateway_startup(self):\n        raise {2}\n"


@pytest.mark.parametrize("role", ["smtp", "desk"])
async def test_it_runs_in_list_order_with_the_gateway(tmp_path: Path, role: ProcessRole) -> None:
    for name in ("first", "second"):
        write(tmp_path, name, NOTE.format(name))
    process = gateway(tmp_path, '"second", "first"', role)
    assert notes(tmp_path) == []
    await process.start()
    await process.stop()
    assert notes(tmp_path) == [f"second-{role}", f"first-{role}"]


async def test_a_command_that_only_looks_starts_nothing(tmp_path: Path) -> None:
    write(tmp_path, "mine", NOTE.format("mine"))
    process = gateway(tmp_path, '"mine"', "cli")
    await process.start()
    await process.stop()
    assert notes(tmp_path) == []


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize("way", ["", "async "])
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("OSError('no key file')", "OSError: no key file"),
        ("SystemExit(0)", "SystemExit: 0"),
        ("__import__('asyncio').CancelledError", "CancelledError"),
    ],
)
async def test_g1_a_failure_refuses_to_start_even_under_skip(
    tmp_path: Path, on_error: str, way: str, error: str, shown: str
) -> None:
    write(tmp_path, "first", BROKEN.format(on_error, way, error))
    write(tmp_path, "second", NOTE.format("second"))
    process = gateway(tmp_path, '"first", "second"')
    with pytest.raises(StartupError, match=f"first.gateway_startup: {shown}"):
        await process.start()
    await process.stop()
    assert notes(tmp_path) == []


async def test_g1_the_error_names_the_line(tmp_path: Path) -> None:
    write(tmp_path, "first", BROKEN.format("tempfail", "", "OSError('no key file')"))
    process = gateway(tmp_path, '"first"')
    with pytest.raises(StartupError, match=r"first\.gateway_startup: OSError: no key file \(first\.py:\d+\)"):
        await process.start()
    await process.stop()
