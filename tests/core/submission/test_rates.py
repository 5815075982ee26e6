"""How much one person may send."""

from __future__ import annotations

from gateway.config.listener import ListenerConfig
from gateway.submission.rates import PersonRates


def listener(messages: int, recipients: int) -> ListenerConfig:
    return ListenerConfig.model_validate(
        {
            "name": "submission",
            "role": "submission",
            "address": "127.0.0.1:0",
            "auth_without_tls": True,
            "max_person_message_rate": messages,
            "max_person_recipient_rate": recipients,
            "person_rate_window_seconds": 60,
        }
    )


def test_a_person_may_send_so_many_in_a_window_and_others_are_others() -> None:
    now = [0.0]
    rates, settings = PersonRates(lambda: now[0]), listener(2, 3)
    assert [rates.message("anna", settings) for _ in range(2)] == [None, None]
    refused = rates.message("anna", settings)
    assert refused is not None
    assert str(refused) == "450 4.7.1 you may send 2 messages in 60 s, try again later"
    assert rates.message("bo", settings) is None
    now[0] = 60.0
    assert rates.message("anna", settings) is None


def test_recipients_are_counted_by_themselves() -> None:
    rates, settings = PersonRates(lambda: 0.0), listener(0, 3)
    assert [rates.recipient("anna", settings) for _ in range(3)] == [None] * 3
    assert rates.recipient("anna", settings) is not None
    assert all(rates.message("anna", settings) is None for _ in range(1000))


def test_listeners_share_the_count() -> None:
    rates = PersonRates(lambda: 0.0)
    assert rates.message("anna", listener(2, 0)) is None
    assert rates.message("anna", listener(2, 0)) is None
    assert rates.message("anna", listener(2, 0)) is not None
