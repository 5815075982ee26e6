"""What one listener's settings may not be together: TLS, and whom the listener believes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.listener import ListenerConfig

LOOPBACK = {"name": "mx", "address": "127.0.0.1:2525"}
NETWORK = {"name": "mx", "address": "192.0.2.1:25"}
UNIX = {"name": "mx", "address": "unix:/run/mx"}
CERTIFICATE = {"tls_certificate": "/x.pem"}
CLIENTS = {"tls": "required", **CERTIFICATE, "tls_client_ca": "/clients.pem"}
PEERS = {"trusted_peers": ["192.0.2.2"]}
PROXIES = {"proxy_protocol": True, "trusted_proxies": ["192.0.2.3"]}
FILTER: dict[str, Any] = {"role": "filter", **PEERS}
TRUST = {"trust_network": True}
SUBMISSION: dict[str, Any] = {"role": "submission"}


def listener(*tables: dict[str, Any]) -> ListenerConfig:
    return ListenerConfig.model_validate({key: value for table in tables for key, value in table.items()})


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ((LOOPBACK, {"tls": "starttls"}), 'tls = "starttls" needs tls_certificate'),
        ((LOOPBACK, CERTIFICATE), 'tls_certificate is of no use with tls = "none"'),
        ((LOOPBACK, {"tls_key": "/x"}), 'tls_key is of no use with tls = "none"'),
        ((LOOPBACK, CLIENTS, {"tls": "starttls"}), "clients could leave TLS out"),
        ((LOOPBACK, CERTIFICATE, {"tls": "on"}), "'implicit'"),
        ((LOOPBACK, CLIENTS, {"tls_handshake_seconds": 31.0}), "less than or equal to 30"),
        ((LOOPBACK, CLIENTS, {"tls_min_version": "1.1"}), "'1.2' or '1.3'"),
        ((LOOPBACK, {"xclient": True}), "nobody may use it: name the mail servers in trusted_peers"),
        ((LOOPBACK, {"proxy_protocol": True}), "name the load balancers in trusted_proxies"),
        ((LOOPBACK, {"trusted_proxies": ["::1"]}), "of no use without proxy_protocol = true"),
        ((LOOPBACK, PROXIES, {"trusted_proxies": ["0.0.0.0/0"]}), "with 0.0.0.0/0 everybody would be trusted"),
        ((NETWORK, FILTER), 'role "filter" on 192.0.2.1:25 can be reached from the network'),
        ((NETWORK, PEERS, {"xclient": True}), "xclient on 192.0.2.1:25 can be reached from the network"),
        ((NETWORK, PROXIES), "proxy_protocol on 192.0.2.1:25 can be reached from the network"),
        ((NETWORK, PROXIES, CLIENTS), "the header comes before any certificate"),
        ((NETWORK, SUBMISSION), "passwords need encryption"),
        ((LOOPBACK, SUBMISSION), "passwords need encryption"),
        ((NETWORK, SUBMISSION, {"auth_without_tls": True}), "passwords would come to 192.0.2.1:25 in the clear"),
        ((UNIX, SUBMISSION, {"auth_without_tls": True, "protocol": "lmtp"}), "mail programs speak no LMTP"),
        ((UNIX, SUBMISSION, {"auth_without_tls": True, "direction": "inbound"}), "what people submit is outbound"),
        ((LOOPBACK, {"auth_without_tls": True}), 'nobody logs in here; auth_without_tls is for role = "submission"'),
        ((LOOPBACK, {"max_person_message_rate": 5}), "nobody logs in here"),
    ],
)
def test_contradictions(tables: tuple[dict[str, Any], ...], expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        listener(*tables)
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    "tables",
    [
        (LOOPBACK, {"tls": "starttls"}, CERTIFICATE),
        (NETWORK, {"tls": "implicit"}, CERTIFICATE),
        (NETWORK, PEERS),
        (NETWORK, FILTER, CLIENTS),
        (NETWORK, FILTER, TRUST),
        (NETWORK, PEERS, {"xclient": True}, CLIENTS),
        (LOOPBACK, PROXIES),
        (NETWORK, PROXIES, TRUST),
        (UNIX, {"xclient": True}),
        (UNIX, {"proxy_protocol": True}),
        (UNIX, {"role": "proxy"}),
        (NETWORK, SUBMISSION, {"tls": "starttls"}, CERTIFICATE),
        (NETWORK, SUBMISSION, {"tls": "required"}, CERTIFICATE),
        (NETWORK, SUBMISSION, {"tls": "implicit"}, CERTIFICATE),
        (LOOPBACK, SUBMISSION, {"auth_without_tls": True}),
        (UNIX, SUBMISSION, {"auth_without_tls": True, "direction": "outbound"}),
        (LOOPBACK, {"max_person_message_rate": 200, "hide_client": False}),
    ],
)
def test_what_goes_together(tables: tuple[dict[str, Any], ...]) -> None:
    listener(*tables)


def test_submitted_mail_is_outbound_and_met_strictly() -> None:
    made = listener(LOOPBACK, SUBMISSION, {"auth_without_tls": True})
    assert made.direction == "outbound"
    assert not made.normalises_newlines


@pytest.mark.parametrize(("settings", "seconds"), [({}, 540), ({"role": "proxy", **PEERS}, 80)])
def test_how_long_a_message_may_take(settings: dict[str, Any], seconds: float) -> None:
    """Postfix waits 100 seconds for its before-queue filter, unless told otherwise (smtpd_proxy_timeout)."""
    assert listener(LOOPBACK, settings).deadline_seconds == seconds
    assert listener(LOOPBACK, settings, {"transaction_deadline_seconds": 7.0}).deadline_seconds == 7
