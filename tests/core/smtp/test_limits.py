from __future__ import annotations

from gateway.smtp.limits import Allowance, CommandBudget, TrustedPeers


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


ALLOWANCE = Allowance(300, 180, max_errors=2, max_idle=3)


def test_the_budget_ends_and_is_renewed() -> None:
    budget = CommandBudget()
    assert [budget.error(ALLOWANCE) is None for _ in range(3)] == [True, True, False]
    assert [budget.idle(ALLOWANCE) is None for _ in range(4)] == [True, True, True, False]
    budget.renew()
    assert budget.error(ALLOWANCE) is None
    assert budget.idle(ALLOWANCE) is None


def test_what_was_done_before_counts_under_stress() -> None:
    budget = CommandBudget()
    assert budget.error(ALLOWANCE) is None
    assert budget.error(Allowance(10, 10, max_errors=1, max_idle=1)) is not None
