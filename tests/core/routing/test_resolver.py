"""The resolver: it ends whatever plugins answer, asks nobody twice, and loses no recipient."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.envelope import Recipient
from gateway.mail.reply import MAIL_LOOP, UNKNOWN_USER
from gateway.routing.plan import DeliverStep, RecipientPlan, Step
from gateway.routing.resolver import Limits, Resolver, TooManyRecipients
from gateway.routing.route import Deliver, Discard, Hold, Redirect, Refuse, Route
from tests.core.routing.strategies import FEW, routes

A, B, C, D, E = FEW
SENDER = Address("sender", "example.com")
Table = Mapping[tuple[int, str], Route | None]
"""(place of the plugin, local part) -> its answer"""


class Asked:
    """A chain of plugins that answer from a table, and whom they were asked about."""

    def __init__(self, table: Table, plugins: int = 2, limits: Limits | None = None) -> None:
        self.table = table
        self.calls: list[tuple[int, str]] = []
        self.resolver = Resolver([f"p{n}" for n in range(plugins)], self.fallback, limits or Limits())

    @staticmethod
    async def fallback(address: Address) -> Route:
        return Refuse(UNKNOWN_USER) if address.local == "nobody" else Deliver("mail", "hosted")

    async def ask(self, place: int, address: Address) -> Route | None:
        self.calls.append((place, address.local))
        return self.table.get((place, address.local))

    async def resolve(self, *to: Address | Recipient) -> list[RecipientPlan]:
        recipients = [each if isinstance(each, Recipient) else Recipient(each) for each in to]
        return await self.resolver.resolve(recipients, SENDER, self.ask)

    async def steps(self, *to: Address | Recipient) -> list[str]:
        return [shown(planned.step) for plan in await self.resolve(*to) for planned in plan.steps]


def shown(step: Step) -> str:
    match step:
        case DeliverStep():
            return f"{step.to.local} via {step.via}"
        case Hold() | Discard():
            return f"{type(step).__name__} {step.reason}"
        case Refuse():
            return str(step.reply.code)


def to(*targets: Address, keep: bool = False) -> Redirect:
    return Redirect(targets, keep)


@pytest.mark.parametrize(
    ("table", "steps"),
    [
        pytest.param({}, ["a via mail"], id="nobody answers"),
        pytest.param({(0, "a"): Deliver("x")}, ["a via x"], id="deliver"),
        pytest.param({(0, "a"): Deliver("x"), (1, "a"): Deliver("y")}, ["a via x"], id="the first answer counts"),
        pytest.param({(1, "a"): Deliver("y")}, ["a via y"], id="the second is asked when the first says nothing"),
        pytest.param({(0, "a"): Hold("why")}, ["Hold why"], id="hold"),
        pytest.param({(0, "a"): Discard("why")}, ["Discard why"], id="discard"),
        pytest.param({(0, "a"): Refuse(UNKNOWN_USER)}, ["550"], id="refuse"),
        pytest.param({(0, "a"): to(B)}, ["b via mail"], id="redirect"),
        pytest.param({(0, "a"): to(B, C)}, ["b via mail", "c via mail"], id="fan-out"),
        pytest.param({(0, "a"): to(B, keep=True)}, ["a via mail", "b via mail"], id="kept copy"),
        pytest.param({(0, "a"): to(B, B, B)}, ["b via mail"], id="one copy for one address"),
        pytest.param({(0, "a"): to(Address("B", "example.test"), B)}, ["B via mail"], id="r16 any case"),
        pytest.param({(0, "a"): to(B), (1, "b"): to(C)}, ["c via mail"], id="chain"),
        pytest.param({(1, "a"): to(B), (0, "b"): to(C)}, ["c via mail"], id="targets start at the top"),
        pytest.param(
            {(0, "a"): to(B, keep=True), (1, "a"): to(C, keep=True)}, ["a via mail", "b via mail", "c via mail"],
            id="a kept original goes on to the next plugin",
        ),
        pytest.param({(0, "a"): to(B), (1, "a"): to(C)}, ["b via mail"], id="one that was not kept does not"),
        pytest.param({(0, "a"): to(B), (0, "b"): to(A)}, ["a via mail"], id="r1 a cycle ends where it began"),
        pytest.param(
            {(0, "a"): to(B, keep=True), (0, "b"): to(A, keep=True)}, ["a via mail", "b via mail"], id="r1 both keep"
        ),
        pytest.param({(0, "a"): to(A)}, ["a via mail"], id="r2 to itself"),
        pytest.param({(0, "a"): to(A, B)}, ["a via mail", "b via mail"], id="r2 to itself and another is a kept copy"),
        pytest.param({(0, "a"): to(A), (1, "a"): Deliver("y")}, ["a via y"], id="r2 and goes on to the next plugin"),
        pytest.param(
            {(0, "a"): to(A, B), (0, "b"): to(A, B)}, ["a via mail", "b via mail"], id="r6 two that share each other"
        ),
        pytest.param({(0, "a"): to()}, ["554"], id="g10 redirected to nobody"),
        pytest.param({(0, "a"): to(keep=True)}, ["a via mail"], id="kept and redirected to nobody"),
        pytest.param({(0, "a"): to(Address("nobody", "example.test"), B)}, ["550", "b via mail"], id="one is refused"),
        pytest.param({(0, "a"): to(B, C), (0, "b"): Hold("x"), (0, "c"): Hold("x")}, ["Hold x"], id="held once"),
    ],
)  # fmt: skip
async def test_routes(table: Table, steps: list[str]) -> None:
    assert sorted(await Asked(table).steps(A)) == sorted(steps)


async def test_the_descent_tells_the_whole_way() -> None:
    chain = Asked({(0, "a"): Redirect((B,), True, "rule 7", "because"), (1, "b"): Deliver("x", "r", "so")})
    (plan,) = await chain.resolve(A)
    ways = {
        planned.step.to.local: [(s.address.local, s.plugin, s.rule, s.reason) for s in planned.descent]
        for planned in plan.steps
        if isinstance(planned.step, DeliverStep)
    }
    assert ways == {
        "a": [("a", "p0", "rule 7", "because"), ("a", "core", "hosted", "")],
        "b": [("a", "p0", "rule 7", "because"), ("b", "p1", "r", "so")],
    }


async def test_every_copy_keeps_the_return_path_and_the_dsn_parameters() -> None:
    (plan,) = await Asked({(0, "a"): to(B)}).resolve(Recipient(A, ("FAILURE",), "rfc822;a"))
    (planned,) = plan.steps
    assert planned.step == DeliverStep(B, SENDER, "mail", notify=("FAILURE",), orcpt="rfc822;a")
    assert plan.original == Recipient(A, ("FAILURE",), "rfc822;a")


@pytest.mark.parametrize(
    ("notify", "targets", "expected"),
    [
        (("SUCCESS", "FAILURE"), (B, C), [("NEVER",), ("NEVER",)]),
        (("SUCCESS",), (B,), [("SUCCESS",)]),
        (("FAILURE",), (B, C), [("FAILURE",), ("FAILURE",)]),
        ((), (B, C), [(), ()]),
        (("NEVER",), (B, C), [("NEVER",), ("NEVER",)]),
    ],
)
async def test_a_fan_out_reports_expanded_itself(
    notify: tuple[str, ...], targets: tuple[Address, ...], expected: list[tuple[str, ...]]
) -> None:
    (plan,) = await Asked({(0, "a"): to(*targets)}).resolve(Recipient(A, notify))
    assert [step.notify for step in plan.deliveries] == expected


class Growing(Asked):
    """A plugin that always knows one more address, and one that also wants another copy."""

    def __init__(self, fan_out: int, limits: Limits) -> None:
        super().__init__({}, 1, limits)
        self.fan_out = fan_out

    async def ask(self, place: int, address: Address) -> Route | None:
        self.calls.append((place, address.local))
        number = int(address.local)
        targets = [Address(str(number * self.fan_out + n + 1), "example.test") for n in range(self.fan_out)]
        return Redirect(tuple(targets))


async def test_r3_the_line_of_redirections_has_an_end() -> None:
    chain = Growing(1, Limits(hops=50))
    (plan,) = await chain.resolve(Address("0", "example.test"))
    (planned,) = plan.steps
    assert isinstance(planned.step, Refuse)
    assert planned.step.reply == MAIL_LOOP
    assert planned.step.reason == "too many redirections"
    assert len(planned.descent) == 51
    assert len(chain.calls) == 51


async def test_r3_a_line_that_was_cut_off_is_not_lost_among_others() -> None:
    chain = Asked({(0, "a"): to(B, C), (0, "c"): to(D), (0, "d"): to(E)}, limits=Limits(hops=2))
    assert await chain.steps(A) == ["b via mail", "554"]


@pytest.mark.parametrize("recipients", [1, 10, 1000])
async def test_r12_an_explosion_is_stopped_early(recipients: int) -> None:
    chain = Growing(10, Limits(recipients=recipients))
    with pytest.raises(TooManyRecipients) as caught:
        await chain.resolve(Address("0", "example.test"))
    assert caught.value.reply.code == 452
    assert len(chain.calls) <= recipients


@pytest.mark.parametrize(("limit", "fits"), [(3, True), (2, False)])
async def test_r12_the_cap_is_exact_and_counts_all_recipients(limit: int, fits: bool) -> None:
    chain = Asked({(0, "a"): to(B, keep=True)}, limits=Limits(recipients=limit))
    if fits:
        assert len(await chain.steps(A, C)) == 3
    else:
        with pytest.raises(TooManyRecipients):
            await chain.resolve(A, C)


async def test_what_a_plugin_raises_passes_through() -> None:
    chain = Asked({})

    async def ask(place: int, address: Address) -> Route | None:
        raise RuntimeError(address.local)

    with pytest.raises(RuntimeError, match="a"):
        await chain.resolver.resolve([Recipient(A)], None, ask)


tables = st.dictionaries(
    st.tuples(st.integers(0, 2), st.sampled_from("abcde")), routes(st.sampled_from(FEW)), max_size=15
)


def resolved(chain: Asked, recipients: Sequence[Address]) -> list[RecipientPlan] | None:
    try:
        return asyncio.run(chain.resolve(*recipients))
    except TooManyRecipients:
        return None


@settings(max_examples=150)
@given(tables, st.lists(st.sampled_from(FEW), min_size=1, max_size=3, unique=True))
def test_it_ends_for_any_behaviour_and_loses_nobody(table: Table, recipients: list[Address]) -> None:
    chain = Asked(table, plugins=3, limits=Limits(hops=20, recipients=30))
    plans = resolved(chain, recipients)
    if plans is None:
        return
    assert [plan.original.address for plan in plans] == recipients
    for plan in plans:
        assert plan.steps
        copies = Counter(step.copy_key for step in plan.deliveries)
        assert all(count == 1 for count in copies.values())
        for planned in plan.steps:
            offers = Counter(
                (station.plugin, station.address.key) for station in planned.descent if station.plugin != "core"
            )
            assert all(count == 1 for count in offers.values()), "offered twice in one line of descent"
            assert len(planned.descent) <= 21
            if planned.descent:
                assert planned.descent[0].address == plan.original.address
    assert sum(len(plan.steps) for plan in plans) <= 30


@settings(max_examples=60)
@given(tables, st.sampled_from(FEW))
def test_the_same_table_gives_the_same_plan(table: Table, recipient: Address) -> None:
    first, second = (Asked(table, 3, Limits(hops=10, recipients=20)) for _ in range(2))
    assert resolved(first, [recipient]) == resolved(second, [recipient])
    assert first.calls == second.calls
