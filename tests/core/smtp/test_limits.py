from __future__ import annotations

from gateway.smtp.limits import CommandBudget, ConnectionLimits, TrustedPeers


def test_trusted_peers() -> None:
    peers = TrustedPeers(["192.0.2.0/24", "2001:db8::/32"])
    for _ in range(2):  # the second time from memory
        assert "192.0.2.7" in peers
        assert "2001:db8:1::1" in peers
        assert "192.0.3.1" not in peers
        assert "unix" in peers


def test_many_strangers_do_not_fill_the_memory_of_trusted_peers() -> None:
    peers = TrustedPeers(["10.0.0.1/32"])
    assert not any(f"10.{high}.{low}.2" in peers for high in range(40) for low in range(256))
    assert "10.0.0.1" in peers
    assert "unix" in peers


def test_connections_of_one_client() -> None:
    limits = ConnectionLimits(total=10, per_client=2, reserve=False)
    assert [limits.admit("192.0.2.1", trusted=False) is None for _ in range(3)] == [True, True, False]
    assert limits.admit("192.0.2.2", trusted=False) is None
    assert all(limits.admit("192.0.2.1", trusted=True) is None for _ in range(3))
    for _ in range(5):
        limits.release("192.0.2.1")
    assert limits.admit("192.0.2.1", trusted=False) is None
    assert limits.open == 2


def test_an_ipv6_customer_is_one_client() -> None:
    limits = ConnectionLimits(total=10, per_client=1, reserve=False)
    assert limits.admit("2001:db8::1", trusted=False) is None
    assert limits.admit("2001:db8::2", trusted=False) is not None
    assert limits.admit("2001:db8:0:1::1", trusted=False) is None


def test_a_twentieth_is_kept_for_trusted_peers() -> None:
    limits = ConnectionLimits(total=40, per_client=100, reserve=True)
    assert sum(limits.admit("192.0.2.1", trusted=False) is None for _ in range(50)) == 38
    assert sum(limits.admit("10.0.0.1", trusted=True) is None for _ in range(50)) == 2


def test_the_budget_ends_and_is_renewed() -> None:
    budget = CommandBudget(max_errors=2, max_idle=3)
    assert [budget.error() is None for _ in range(3)] == [True, True, False]
    assert [budget.idle() is None for _ in range(4)] == [True, True, True, False]
    budget.renew()
    assert budget.error() is None
    assert budget.idle() is None
