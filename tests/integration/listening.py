"""Whether a server has opened its port yet."""

from __future__ import annotations

import asyncio


async def is_listening(port: int) -> bool:
    """Whether somebody takes connections on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
