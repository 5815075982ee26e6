"""The message, its transaction and their ids."""

from __future__ import annotations

import re
from email.message import Message as ParsedMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.body import Body, MemoryBody
from gateway.mail.edits import Edits
from gateway.mail.envelope import Client, Envelope, MailParameters, Recipient, Session
from gateway.mail.ids import new_id
from gateway.mail.message import Message, asking
from gateway.mail.transaction import Transaction
from tests.core.mail.strategies import bodies

ANNA = Address("anna", "example.test")
PEER = Client("192.0.2.7")
SESSION = Session("s", "mx", "smtp", "inbound", "inbound", PEER, PEER)


def message(body: Body, **more: object) -> Message:
    return Message("m", Envelope(None, (Recipient(ANNA),)), SESSION, body, 0.0, **more)  # type: ignore[arg-type]


@given(st.binary(max_size=300))
def test_m18_what_is_rendered_is_what_came_in(raw: bytes) -> None:
    for body in bodies(raw):
        assert message(body).render() == raw
        assert message(body, edits=Edits(("A: 1",))).render() == b"A: 1\r\n" + raw


def test_the_header_is_indexed_once() -> None:
    received = message(MemoryBody(b"A: 1\r\n\r\nB: 2\r\n"))
    assert [field.name for field in received.headers] == ["a"]
    assert received.headers is received.headers


@pytest.mark.parametrize("structure", [ParsedMessage(), None])
async def test_g8_the_structure_is_parsed_once_when_asked_for_and_each_plugin_has_its_own(
    structure: ParsedMessage | None,
) -> None:
    calls: list[Body] = []

    async def parse(body: Body) -> ParsedMessage | None:
        calls.append(body)
        return structure

    body = MemoryBody(b"")
    received = message(body, parser=parse)
    assert calls == []
    own = [await received.parsed(), await received.parsed()]
    with_name = asking.set("other")
    own.append(await received.parsed())
    asking.reset(with_name)
    assert own[0] is own[1]
    assert calls == [body]
    if structure is None:
        assert own == [None, None, None]
    else:
        assert own[0] is not own[2]
        assert structure not in own


def test_the_content_key_tells_return_path_and_bytes_and_nothing_else() -> None:
    def key(sender: str, raw: bytes, id: str = "m", *to: Address) -> str:
        envelope = Envelope(Address.parse(sender) if sender else None, tuple(Recipient(address) for address in to))
        return Message(id, envelope, SESSION, MemoryBody(raw), 0.0).content_key

    first = key("a@sender.test", b"x", "m1", ANNA)
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert first == key("a@sender.test", b"x", "m2", Address("bo", "example.test"))
    keys = {first, key("a@sender.test", b"y"), key("b@sender.test", b"x"), key("", b"x"), key("ä@sender.test", b"x")}
    assert len(keys) == 5


def test_messages_are_themselves_and_frozen() -> None:
    one, other = message(MemoryBody(b"")), message(MemoryBody(b""))
    assert one != other
    assert len({one, other}) == 2
    with pytest.raises(AttributeError):
        one.received_at = 1.0  # type: ignore[misc]


def test_g8_hooks_cannot_change_a_transaction_by_what_they_see() -> None:
    transaction = Transaction("t", SESSION, None, MailParameters())
    transaction.accept(Recipient(ANNA))
    assert isinstance(transaction.recipients, tuple)
    with pytest.raises(TypeError):
        transaction.tags["x"] = 1  # type: ignore[index]
    seen = transaction.tags
    transaction.tag({"p.a": 1})
    transaction.tag({"p.a": 2, "p.b": True})
    assert seen == {"p.a": 2, "p.b": True}, "a message shows what hooks set after it was made"


def test_p59_one_address_is_one_recipient() -> None:
    transaction = Transaction("t", SESSION, ANNA, MailParameters(size=5))
    transaction.accept(Recipient(Address.parse("Anna@Example.test"), ("NEVER",)))
    assert transaction.has(Recipient(ANNA))
    assert not transaction.has(Recipient(Address("bo", "example.test")))
    assert transaction.recipient_count == 1
    assert transaction.envelope() == Envelope(ANNA, transaction.recipients, MailParameters(size=5))


@pytest.mark.parametrize(
    ("notify", "never", "success", "failure"),
    [
        ((), False, False, True),
        (("NEVER",), True, False, False),
        (("SUCCESS",), False, True, False),
        (("FAILURE", "DELAY"), False, False, True),
        (("SUCCESS", "FAILURE"), False, True, True),
    ],
)
def test_what_a_recipient_wants_to_be_told(notify: tuple[str, ...], never: bool, success: bool, failure: bool) -> None:
    recipient = Recipient(ANNA, notify, "rfc822;anna+40example.test")
    assert (recipient.never_notify, recipient.notify_success, recipient.notify_failure) == (never, success, failure)
    assert Recipient.from_json(recipient.to_json()) == recipient


@pytest.mark.parametrize(("sender", "path"), [(None, ""), (Address("a b", "example.test"), '"a b"@example.test')])
def test_the_return_path(sender: Address | None, path: str) -> None:
    assert Envelope(sender, ()).return_path == path


def test_ids_are_short_unique_and_sorted_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{16}", each) for each in ids)
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000 * 1_000_000)
    earlier = [new_id() for _ in range(50)]
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_001 * 1_000_000)
    assert max(earlier) < min(new_id() for _ in range(50))
