"""A private Rspamd for tests: its own configuration, which knows SPF, DKIM and DMARC only, and asks a DNS of the test.

It stands between Postfix and nothing else: no network, no Redis. The system's Rspamd is neither read nor changed.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.listening import is_listening
from tests.integration.waiting import until

LOCAL_TO_RSPAMD = "192.0.2.200"
_PLUGINS = "/usr/share/rspamd/plugins"

_CONF = """\
options {{
  pidfile = "{base}/pid";
  control_socket = "{base}/control mode=0600";
  filters = "dkim";
  cache_file = "{base}/symbols.cache";
  stats_file = "{base}/stats.ucl";
  hs_cache_dir = "{base}";
  tempdir = "{base}";
  url_tld = "{base}/tlds";
  local_addrs = [{local}];
  dns {{ nameserver = ["{dns}"]; timeout = 2s; retransmits = 2; }}
}}
logging {{ type = "file"; filename = "{base}/log"; level = "notice"; }}
actions {{ reject = 1000; add_header = 999; greylist = 998; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}";
  milter = yes;
  count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
modules {{
  path = "{plugins}/spf.lua";
  path = "{plugins}/dmarc.lua";
  path = "{plugins}/milter_headers.lua";
}}
spf {{}}
dkim {{}}
dmarc {{}}
milter_headers {{ .include "{base}/milter_headers.conf" }}
"""


@asynccontextmanager
async def private_rspamd(port: int, dns: str, milter_headers: str) -> AsyncIterator[None]:
    """Run one that takes milter connections on `port` until the block ends.

    `dns` is host:port; `milter_headers` is what an administrator has in local.d/milter_headers.conf. Mail from
    LOCAL_TO_RSPAMD is local to it.
    """
    base = Path(tempfile.mkdtemp(prefix="stellwerk-rspamd-", dir="/tmp"))
    try:
        conf = _write(base, port, dns, milter_headers)
        with (base / "output").open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                "rspamd", "-f", "-c", conf, "-u", "_rspamd", "-g", "_rspamd", stdout=output, stderr=output
            )
        try:
            await until(lambda: _listens(process, base, port), "rspamd listens", 60)
            yield
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()
    finally:
        shutil.rmtree(base)


def _write(base: Path, port: int, dns: str, milter_headers: str) -> Path:
    (base / "tlds").write_text("test\nexample\n")
    (base / "milter_headers.conf").write_text(milter_headers)
    conf = base / "rspamd.conf"
    conf.write_text(_CONF.format(base=base, port=port, dns=dns, plugins=_PLUGINS, local=LOCAL_TO_RSPAMD))
    for path in (base, *base.iterdir()):
        shutil.chown(path, "_rspamd", "_rspamd")
    return conf


async def _listens(process: asyncio.subprocess.Process, base: Path, port: int) -> bool:
    if process.returncode is not None:
        told = "".join(file.read_text() for file in (base / "output", base / "log") if file.exists())
        raise AssertionError(f"rspamd ended with {process.returncode}:\n{told}")
    return await is_listening(port)
