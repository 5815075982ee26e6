"""gateway_shutdown: the process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hooks.gateways import gateway, notes, write

NOTE = "    @hookimpl\n    async def gateway_shutdown(self, gateway):\n        note(f'{0}-{{gateway.role}}')\n"
BROKEN = (
    "    @hookimpl\n    def gateway_shutdown(self):\n        note('broken')\n        raise RuntimeError('broken')\n"
)


async def test_it_runs_in_reverse_order_and_a_failure_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "first", NOTE.format("first"))
    write(tmp_path, "second", BROKEN)
    write(tmp_path, "third", NOTE.format("third"))
    process = gateway(tmp_path, '"first", "second", "third"')
    await process.start()
    assert notes(tmp_path) == []
    await process.stop()
    assert notes(tmp_path) == ["third-smtp", "broken", "first-smtp"]
    assert "second.gateway_shutdown: RuntimeError: broken" in caplog.text
