"""C6: the password for a smart host, right or refused, stands in no log line, story, metric or explanation."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.logs import JsonFormatter, OneLineFormatter
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import MailParameters, Recipient
from gateway.mail.transaction import Transaction
from gateway.metrics.exposition import exposition
from gateway.metrics.process import ProcessMetrics
from gateway.testing.sink import Sink
from gateway.trace import find
from tests.core.gateways import CONFIG, HELLO, config, session

CANARY = "canary-password"
RELAY = """\
[next_hop.relay]
kind = "smtp"
address = "{address}"
user = "gateway"
password_file = "{directory}/password"
"""


@pytest.mark.parametrize(("known", "verdict"), [(CANARY, "accepted"), ("another", "deferred")])
async def test_c6_the_password_of_a_next_hop_is_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, known: str, verdict: str
) -> None:
    (tmp_path / "password").write_text(f"{CANARY}\n")
    (tmp_path / "password").chmod(0o600)
    caplog.set_level(logging.DEBUG)
    async with Sink(users={"gateway": known}) as sink:
        relay = '[next_hop.relay]\nkind = "smtp"\naddress = "127.0.0.1:10026"\n'
        assert relay in CONFIG
        text = CONFIG.replace(relay, RELAY.format(address=sink.address, directory=tmp_path))
        monkeypatch.setattr("tests.core.gateways.CONFIG", text)
        gateway = Gateway(config(tmp_path, tables='[routing]\nhosted = "relay"'))
        await gateway.start()
        try:
            transaction = await gateway.pipeline.mail(session(), Address.parse("a@b.test"), MailParameters())
            assert isinstance(transaction, Transaction)
            await gateway.pipeline.rcpt(transaction, Recipient(Address.parse("anna@example.test")))
            await gateway.pipeline.process(transaction, MemoryBody(HELLO))
            await gateway.pipeline.settled()
            await gateway.store.write([])
            story = await find(gateway.store, transaction.id)
            numbers = ProcessMetrics(gateway).gather()
        finally:
            await gateway.stop()
        assert any(command.startswith("AUTH") for command in sink.commands)
    assert numbers.values["stellwerk_messages"]["mx", verdict] == [1.0]
    assert numbers.values["stellwerk_next_hop_down"]["relay",] == [float(verdict == "deferred")]
    lines = [form.format(record) for record in caplog.records for form in (OneLineFormatter(), JsonFormatter())]
    everything = "\n".join([*lines, json.dumps(story), exposition(numbers)[0].decode(), repr(gateway.config)])
    assert transaction.id in everything
    assert CANARY not in everything
