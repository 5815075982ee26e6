"""A private OpenDKIM for tests: its own configuration and key. The system's is neither read nor changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.listening import is_listening
from tests.integration.postfix.instance import checked
from tests.integration.waiting import until

_CONF = """\
Syslog no
Mode s
Domain gw.example.test
Selector s1
KeyFile {directory}/s1.private
Socket inet:{port}@127.0.0.1
InternalHosts 127.0.0.1
PidFile {directory}/opendkim.pid
Background no
UserID root
RequireSafeKeys no
"""


@asynccontextmanager
async def private_opendkim(directory: Path, port: int) -> AsyncIterator[bytes]:
    """Run one that signs for gw.example.test until the block ends; gives the TXT record of s1._domainkey."""
    key, conf, log = directory / "s1.private", directory / "opendkim.conf", directory / "log"
    await checked("openssl", "genrsa", "-out", str(key), "2048")
    public = await checked("openssl", "pkey", "-in", str(key), "-pubout")
    conf.write_text(_CONF.format(directory=directory, port=port))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec("opendkim", "-f", "-x", conf, stdout=output, stderr=output)

    async def listens() -> bool:
        assert process.returncode is None, f"opendkim ended with {process.returncode}:\n{log.read_text()}"
        return await is_listening(port)

    try:
        await until(listens, "opendkim listens", 60)
        yield b"v=DKIM1; k=rsa; p=" + "".join(public.splitlines()[1:-1]).encode()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
