"""forwarding through the real loader and the real resolver: what each action does, together and in a chain."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.hooks.registry import Declarations
from gateway.planning import Planned
from gateway.routing.plan import DeliverStep, Step
from gateway.routing.route import Discard, Refuse
from tests.hooks.walk import HELLO, OUTBOUND, Loaded, copies, loaded, session, steps

ANNA, BO, CLEO = "anna@example.test", "bo@example.test", "cleo@small.test"


def rule(id: str, when: str, then: str, *, stop: bool = False, reason: str = "") -> str:
    """One rule as TOML; `when` and `then` are the insides of inline tables."""
    more = f'reason = "{reason}"\n' if reason else ""
    return (
        f'[[plugin.forwarding.rule]]\nid = "{id}"\n{more}when = {{ {when} }}\nthen = {{ {then} }}\n'
        f"stop = {str(stop).lower()}\n"
    )


def to(address: str) -> str:
    return f'kind = "recipient", equals = "{address}"'


def redirect(*targets: str, keep: bool = False) -> str:
    listed = ", ".join(f'"{target}"' for target in targets)
    return f'kind = "redirect", targets = [{listed}], keep = {str(keep).lower()}'


ANYBODY = 'kind = "recipient", glob = "*@*"'
KEEP = 'kind = "keep"'
DISCARD = 'kind = "discard"'
REFUSE = 'kind = "refuse", code = 550, enhanced = "5.2.1", text = "left the company"'


async def planned(
    tables: str, *recipients: str, raw: bytes = HELLO, plugins: Sequence[str] = ("forwarding",)
) -> Planned:
    async with loaded(*plugins, tables=tables) as walk:
        return await walk.send(raw, *recipients or (ANNA,))


def way(step: Step) -> str:
    """A step in a word or two."""
    match step:
        case DeliverStep():
            return str(step.to)
        case Refuse():
            return str(step.reply)
        case Discard():
            return f"discard: {step.reason}"
    return type(step).__name__


@pytest.mark.parametrize(
    ("rules", "ways"),
    [
        pytest.param([], [ANNA], id="no rule"),
        pytest.param([rule("a", to(BO), DISCARD)], [ANNA], id="a rule for somebody else"),
        pytest.param([rule("a", to(ANNA), redirect(BO))], [BO], id="redirect"),
        pytest.param([rule("a", to(ANNA), redirect(BO, keep=True))], [ANNA, BO], id="redirect with a copy"),
        pytest.param([rule("a", to(ANNA), redirect(BO, CLEO))], [BO, CLEO], id="redirect to several"),
        pytest.param([rule("a", to(ANNA), redirect(BO, "BO@example.test."))], [BO], id="one target twice"),
        pytest.param([rule("a", to(ANNA), KEEP)], [ANNA], id="keep"),
        pytest.param([rule("a", to(ANNA), DISCARD)], ["discard: rule a"], id="discard"),
        pytest.param([rule("a", to(ANNA), DISCARD, reason="robots")], ["discard: robots"], id="discard with a reason"),
        pytest.param([rule("a", to(ANNA), REFUSE)], ["550 5.2.1 left the company"], id="refuse"),
        pytest.param(
            [rule("a", to(ANNA), 'kind = "refuse", code = 450')], ["450 4.7.1 refused by a rule of the recipient"],
            id="refuse for now",
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO)), rule("b", to(ANNA), redirect(CLEO))], [BO, CLEO],
            id="two redirections add up",
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO), stop=True), rule("b", to(ANNA), redirect(CLEO))], [BO], id="stop",
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO)), rule("b", to(ANNA), KEEP)], [ANNA, BO], id="keep beside a redirection"
        ),
        pytest.param(
            [rule("a", to(ANNA), KEEP, stop=True), rule("b", ANYBODY, REFUSE)], [ANNA], id="an exception above a rule"
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO)), rule("b", to(ANNA), DISCARD)], [BO], id="discard is for the own copy"
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO, keep=True)), rule("b", to(ANNA), DISCARD)], [ANNA, BO],
            id="a copy that was kept stays kept",
        ),
        pytest.param(
            [rule("a", to(ANNA), DISCARD), rule("b", to(ANNA), redirect(BO))], ["discard: rule a"],
            id="nothing comes after discard",
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO)), rule("b", to(ANNA), REFUSE)], ["550 5.2.1 left the company"],
            id="refuse undoes what stands above",
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO)), rule("b", to(BO), redirect(CLEO, keep=True))], [BO, CLEO],
            id="targets start at the top",
        ),
        pytest.param([rule("a", to("cleo@nowhere.test"), redirect(BO))], [ANNA], id="a recipient of nobody here"),
    ],
)  # fmt: skip
async def test_actions(rules: list[str], ways: list[str]) -> None:
    found = await planned("".join(rules))
    assert sorted(map(way, steps(found.plan))) == ways


@pytest.mark.parametrize(
    ("rules", "recipient", "ways"),
    [
        pytest.param(
            [rule("a", to(ANNA), redirect(BO, keep=True)), rule("b", to(BO), redirect(ANNA, keep=True))], ANNA,
            [ANNA, BO], id="r1 mutual, each keeps a copy",
        ),
        pytest.param(
            [rule("a", to(ANNA), redirect(BO)), rule("b", to(BO), redirect(ANNA))], ANNA, [ANNA],
            id="r1 mutual, nobody keeps: it stays where it came in",
        ),
        pytest.param([rule("a", to(ANNA), redirect(ANNA, keep=True))], ANNA, [ANNA], id="r2 to oneself with a copy"),
        pytest.param([rule("a", to(ANNA), redirect(ANNA))], ANNA, [ANNA], id="r2 to oneself"),
        pytest.param(
            [rule("a", to(ANNA), redirect("anna+copy@example.test"))], ANNA, ["anna+copy@example.test"],
            id="r2 to one's own subaddress",
        ),
        pytest.param(
            [rule(f"a{n}", to(f"x{n}@small.test"), redirect(f"x{n + 1}@small.test")) for n in range(3)],
            "x0@small.test", ["x3@small.test"], id="r3 a line of redirections",
        ),
        pytest.param(
            [rule(f"a{n}", to(f"x{n}@small.test"), redirect(f"x{(n + 1) % 3}@small.test", keep=True))
             for n in range(3)],
            "x0@small.test", [f"x{n}@small.test" for n in range(3)], id="r1 a ring",
        ),
    ],
)  # fmt: skip
async def test_cycles_end(rules: list[str], recipient: str, ways: list[str]) -> None:
    found = await planned("".join(rules), recipient)
    assert sorted(map(way, steps(found.plan))) == ways


async def test_r3_a_line_that_is_too_long_is_refused_with_what_it_is() -> None:
    rules = [rule(f"a{n}", to(f"x{n}@small.test"), redirect(f"x{n + 1}@small.test")) for n in range(8)]
    found = await planned("".join(["[routing]\nmax_hops = 5\n", *rules]), "x0@small.test")
    (step,) = steps(found.plan)
    assert isinstance(step, Refuse)
    assert str(step.reply) == "554 5.4.6 mail loop"
    assert step.reason == "too many redirections"


async def test_r12_rules_cannot_make_more_copies_than_the_gateway_allows() -> None:
    targets = [f"x{number}@small.test" for number in range(6)]
    found = await planned("[routing]\nmax_recipients = 5\n" + rule("a", to(ANNA), redirect(*targets)))
    assert (found.plan, found.refusal and found.refusal.code) == (None, 452)


@pytest.mark.parametrize(
    ("written", "arrived", "applies"),
    [
        ("anna@example.test", "Anna@EXAMPLE.test", True),
        ("Anna@Example.TEST.", "anna@example.test", True),
        ("anna@example.test", "anna+may@example.test", True),
        ("anna+may@example.test", "anna@example.test", False),
        ("anna+may@example.test", "anna+MAY@example.test", True),
        ("x@bücher.test", "x@xn--bcher-kva.test", True),
        ("x@xn--bcher-kva.test", "x@BÜCHER.test", True),
        ("x@bücher.test.", "x@bücher.test", True),
        ("anna@example.test", "bo@example.test", False),
    ],
)
async def test_r16_one_normal_form_of_addresses(written: str, arrived: str, applies: bool) -> None:
    tables = '[hosted."bücher.test"]\nmailboxes = ["*"]\n' + rule("a", to(written), redirect(CLEO))
    async with loaded("forwarding", tables=tables) as walk:
        found = await walk.send(HELLO, arrived, smtputf8=True)
    assert (CLEO in [str(step.to) for step in steps(found.plan) if isinstance(step, DeliverStep)]) is applies


async def test_r17_a_pattern_cannot_hold_the_gateway_up() -> None:
    """A backtracking engine would not end within a lifetime."""
    tables = rule("a", 'kind = "subject", pattern = "(a+)+$"', redirect(BO))
    for length in (60_000, 100_000):  # 65,536 octets are looked at
        found = await planned(tables, raw=b"Subject: " + b"a" * length + b"!\r\n\r\n")
        assert [way(step) for step in steps(found.plan)] == [ANNA]


@pytest.mark.parametrize(
    ("rules", "ways", "undecided"),
    [
        pytest.param([rule("a", 'kind = "subject", pattern = "(a+)+$"', DISCARD)], [ANNA], "a", id="no real end"),
        pytest.param(
            [rule("a", 'kind = "not", condition = { kind = "subject", contains = "!" }', DISCARD)], [ANNA], "a",
            id="what is not there may still come",
        ),
        pytest.param(
            [rule("a", 'kind = "subject", equals = "x"', DISCARD), rule("b", to(BO), DISCARD),
             rule("c", 'kind = "subject", glob = "*!"', REFUSE), rule("d", to(ANNA), redirect(BO, keep=True))],
            [ANNA, "discard: rule b"], "a, c", id="the other rules count",
        ),
        pytest.param([rule("a", 'kind = "subject", pattern = "^a"', redirect(BO))], [BO], "", id="in front of it"),
    ],
)  # fmt: skip
async def test_what_lies_behind_the_cut_decides_no_rule_and_the_trace_says_so(
    rules: list[str], ways: list[str], undecided: str
) -> None:
    found = await planned("".join(rules), raw=b"Subject: " + b"a" * 90_000 + b"!\r\n\r\n")
    assert [way(step) for step in steps(found.plan)] == ways
    assert found.message.tags == ({"forwarding.undecided": undecided} if undecided else {})


async def test_mail_that_is_not_ours_is_never_forwarded() -> None:
    tables = OUTBOUND + rule("a", ANYBODY, redirect("all@elsewhere.test"))
    async with loaded("forwarding", tables=tables) as walk:
        found = await walk.send(HELLO, ANNA, "x@partner.test", came_by=session("filter"))
    assert copies(found.plan) == [("all@elsewhere.test", "postfix"), ("x@partner.test", "postfix")]


async def test_to_the_outside_the_sender_stays() -> None:
    found = await planned(OUTBOUND + rule("a", to(ANNA), redirect("anna@private.test")))
    (step,) = steps(found.plan)
    assert isinstance(step, DeliverStep)
    assert (str(step.to), str(step.sender), step.via) == ("anna@private.test", "out@sender.test", "postfix")


async def test_the_way_is_told_with_ids_and_reasons() -> None:
    tables = "".join(
        (
            rule("duty", to(ANNA), redirect(BO), reason="on holiday"),
            rule("archive", to(ANNA), redirect(CLEO, keep=True), reason="by law"),
            rule("guard", to(BO), KEEP, stop=True),
        )
    )
    async with loaded("forwarding", tables=tables) as walk:
        found = await walk.send()
        answers = [
            event["answer"] for event in walk.events if event.get("plugin") == "forwarding" and "answer" in event
        ]
    assert found.plan is not None
    told = {
        str(each.descent[-1].address): [(at.plugin, at.rule, at.reason) for at in each.descent]
        for each in found.plan.recipients[0].steps
    }
    both = ("forwarding", "duty, archive", "on holiday; by law")
    assert told == {
        ANNA: [both, ("core", "hosted", "")],
        BO: [both, ("forwarding", "guard", ""), ("core", "hosted", "")],
        CLEO: [both, ("core", "hosted", "")],
    }
    assert answers == [
        [f"keep and redirect to {BO}, {CLEO}, rule duty, archive (on holiday; by law)"],
        ["keep, rule guard"],
    ]


def tagging(name: str, when: str, value: str = "true") -> str:
    return rule(f"tag-{name}", when, f'kind = "tag", name = "{name}", value = {value}')


async def test_tags_are_there_for_every_plugin_behind_and_decide_no_way() -> None:
    tables = tagging("invoice", 'kind = "subject", contains = "HELL"') + tagging("kind", to(BO), '"for bo"')
    async with loaded("forwarding", tables=tables) as walk:
        found = await walk.send(HELLO, ANNA, BO)
    assert found.message.tags == {"forwarding.invoice": True, "forwarding.kind": "for bo"}
    assert copies(found.plan) == [(ANNA, "mail"), (BO, "mail")]


async def test_mail_for_the_outside_is_not_tagged() -> None:
    tables = OUTBOUND + tagging("seen", ANYBODY)
    async with loaded("forwarding", tables=tables) as walk:
        assert (await walk.send(HELLO, "x@partner.test", came_by=session("filter"))).message.tags == {}


async def test_a_tag_of_a_plugin_in_front_counts_in_every_hook() -> None:
    """size_limit tags in message_received, where forwarding is asked for its tags right behind it."""
    when = 'kind = "tag", name = "size_limit.attachment_bytes"'
    tables = (
        "[plugin.size_limit]\nmax_attachment_bytes = 10\n" + tagging("measured", when) + rule("a", when, redirect(BO))
    )
    for plugins, tags, ways in (
        (["size_limit", "forwarding"], {"size_limit.attachment_bytes": 0, "forwarding.measured": True}, [BO]),
        (["forwarding", "size_limit"], {"size_limit.attachment_bytes": 0}, [BO]),
        (["forwarding"], {}, [ANNA]),
    ):
        found = await planned(
            tables if len(plugins) > 1 else tagging("measured", when) + rule("a", when, redirect(BO)), plugins=plugins
        )
        assert found.message.tags == tags, plugins
        assert list(map(way, steps(found.plan))) == ways


async def test_a_header_condition_is_asked_once_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.mail.headers import Headers, HeaderText

    asked: list[str] = []
    pieces = Headers.pieces

    def counted(self: Headers, name: str) -> list[HeaderText]:
        asked.append(name)
        return pieces(self, name)

    monkeypatch.setattr(Headers, "pieces", counted)
    tables = rule("a", 'kind = "header", name = "X-A"', DISCARD) + rule("b", 'kind = "subject", equals = "y"', DISCARD)
    async with loaded("forwarding", tables=tables) as walk:
        await walk.send(HELLO, *(f"x{number}@small.test" for number in range(20)))
        assert asked == ["x-a", "subject"]
        await walk.send()
        assert len(asked) == 4


async def test_doctor_is_told_of_targets_without_a_mailbox() -> None:
    async with loaded("forwarding", tables=rule("a", to(ANNA), redirect(BO, "nobody@example.test"))) as walk:
        declared = _declared(walk)
        assert await declared.checks["targets"]() == (
            'rule "a" forwards to nobody@example.test, which is no mailbox here; add the mailbox or change the rule'
        )
    async with loaded("forwarding", tables=rule("a", to(ANNA), redirect(BO))) as walk:
        assert await _declared(walk).checks["targets"]() is None


async def test_every_address_that_a_rule_names_is_declared_with_where_it_stands() -> None:
    when = f'kind = "all", conditions = [{{ {to(ANNA)} }}, {{ kind = "not", condition = {{ kind = "sender", equals = '
    when += f'["<>", "{CLEO}"] }} }}]'
    tables = rule("a", when, redirect(BO, "x@far.test")) + rule("b", to(BO), DISCARD)
    async with loaded("forwarding", tables=tables) as walk:
        found = [(str(each.address), each.path, each.what) for each in _declared(walk).addresses]
    assert found == [
        (BO, ("rule", 0, "then", "targets", 0), 'rule "a" sends mail to'),
        ("x@far.test", ("rule", 0, "then", "targets", 1), 'rule "a" sends mail to'),
        (ANNA, ("rule", 0, "when"), 'rule "a" asks for mail for'),
        (CLEO, ("rule", 0, "when"), 'rule "a" asks for mail from'),
        (BO, ("rule", 1, "when"), 'rule "b" asks for mail for'),
    ]


def _declared(walk: Loaded) -> Declarations:
    plugin = walk.plugins.get("forwarding")
    assert plugin is not None
    return plugin.declared


@pytest.mark.parametrize(
    ("targets", "notes"),
    [([BO, CLEO], []), ([BO, "x@b.test", "y@c.test"], ["x@b.test, y@c.test"]), (["postmaster@gw.example.org"], [])],
)
async def test_config_check_says_what_forwarding_to_the_outside_means(targets: list[str], notes: list[str]) -> None:
    async with loaded("forwarding", tables=rule("a", to(ANNA), redirect(*targets))) as walk:
        found = _declared(walk).notes
    assert [note.partition("(")[2].partition(")")[0] for note in found] == notes
    assert all("SPF" in note and "routing.outbound" in note for note in found)
