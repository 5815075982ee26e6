"""gateway_shutdown: the process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hooks.gateways import gateway, notes, write

NOTE = "    @hookimpl\n    async def gateway_shutdown(self, gateway):\n        note(f'{0}-{{gateway.role}}')\n"
BROKEN = (
    "    on_error = '{0}'\n    @hookimpl\n    def gateway_shutdown(self):\n        note('broken')\n        raise {1}\n"
)


async def test_it_runs_in_reverse_order(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(tmp_path, name, NOTE.format(name))
    process = gateway(tmp_path, '"first", "second"', "desk")
    await process.start()
    await process.stop()
    assert notes(tmp_path) == ["second-desk", "first-desk"]


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize("error", ["RuntimeError('broken')", "SystemExit('broken')", "MemoryError('broken')"])
async def test_g1_a_failure_is_logged_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_error: str, error: str
) -> None:
    write(tmp_path, "first", NOTE.format("first"))
    write(tmp_path, "second", BROKEN.format(on_error, error))
    write(tmp_path, "third", NOTE.format("third"))
    process = gateway(tmp_path, '"first", "second", "third"')
    await process.start()
    assert notes(tmp_path) == []
    await process.stop()
    assert notes(tmp_path) == ["third-smtp", "broken", "first-smtp"]
    assert f"{error.partition('(')[0]}: broken (second.py:" in caplog.text
