"""The condition tree: each kind on messages, hostile headers among them, and the same tree as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from stellwerk_plugins.forwarding.conditions import MAX_CONDITIONS, MAX_DEPTH, Condition, levels
from stellwerk_plugins.forwarding.matching import Facts, holds
from stellwerk_plugins.forwarding.rules import Rule

from gateway.mail.address import Address
from gateway.mail.envelope import Client
from gateway.mail.headers import MAX_TEXT_OCTETS
from tests.hooks.walk import ANNA, message, session

CONDITION: TypeAdapter[Condition] = TypeAdapter(Condition)


def facts(
    raw: bytes = b"\r\n", *, recipient: str = "anna@example.test", client: str = "192.0.2.7", **more: Any
) -> Facts:
    came_by = session(client=Client(client))
    return Facts(message(raw, ANNA, came_by=came_by, **more), Address.parse(recipient))


def check(condition: dict[str, Any], about: Facts) -> bool | None:
    """Whether it holds, and never other than its own opposite says; None where neither is known."""
    found = holds(CONDITION.validate_python(condition))(about)
    opposite = holds(CONDITION.validate_python({"kind": "not", "condition": condition}))
    assert opposite(Facts(about.message, about.recipient)) is {True: False, False: True, None: None}[found]
    return found


RECIPIENTS = [
    ({"equals": "anna@example.test"}, True),
    ({"equals": ["bo@example.test", "ANNA@example.test"]}, True),
    ({"equals": "bo@example.test"}, False),
    ({"glob": "*@example.test"}, True),
    ({"glob": "AN?A@*.test"}, True),
    ({"glob": "an?@example.test"}, False),
    ({"glob": "*@*.example.test"}, False),
    ({"glob": ["x@*", "anna@e*"]}, True),
    ({"pattern": "^anna@"}, True),
    ({"pattern": "NA@EX"}, True),
    ({"pattern": "^example"}, False),
    ({"pattern": ["^x", "test$"]}, True),
]


@pytest.mark.parametrize(("compared", "expected"), RECIPIENTS)
def test_recipient_and_sender_are_compared_alike(compared: dict[str, Any], expected: bool) -> None:
    assert check({"kind": "recipient", **compared}, facts()) is expected
    other = facts(recipient="x@y.test", sender=Address.parse("Anna+news@example.test"))
    assert check({"kind": "sender", **compared}, other) is expected


@pytest.mark.parametrize(
    ("glob", "recipient", "expected"),
    [
        ("*@example.test", '"x@example.test"@other.test', False),
        ("x@*", '"x@y"@other.test', False),
        ("*@*bücher.test", "a@bücher.test", None),
        ("*@bücher.*", "a@bücher.test", True),
        ("*@XN--BCHER-KVA.test", "a@bücher.test", True),
        ("sales+*@example.test", "sales+may@example.test", True),
        ("sales+*@example.test", "sales@example.test", False),
        ("sales@example.test", "sales+may@example.test", True),
        ("*@example.test.", "x@example.test", True),
        ("+x@example.test", "+x@example.test", True),
    ],
)
def test_globs_of_addresses(glob: str, recipient: str, expected: bool | None) -> None:
    condition = {"kind": "recipient", "glob": glob}
    if expected is None:
        with pytest.raises(ValidationError, match="as DNS has it"):
            CONDITION.validate_python(condition)
    else:
        assert check(condition, facts(recipient=recipient)) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [({"equals": "<>"}, True), ({"glob": "*@*"}, False), ({"pattern": ".*"}, False), ({"equals": "a@b.test"}, False)],
)
def test_the_null_sender(condition: dict[str, Any], expected: bool) -> None:
    assert check({"kind": "sender", **condition}, facts(sender=None)) is expected


INVOICE = (
    b"Subject: =?utf-8?q?Rechnung_f=C3=BCr_M=C3=A4rz?=\r\nX-Loop: One\r\nx-loop: two\r\n\r\nList-Id: in the body\r\n"
)
SUBJECTS = [
    (INVOICE, {"equals": "RECHNUNG FÜR MÄRZ"}, True),
    (INVOICE, {"equals": "Rechnung"}, False),
    (INVOICE, {"contains": ["quote", "für märz"]}, True),
    (INVOICE, {"glob": "rechnung*märz"}, True),
    (INVOICE, {"glob": "rechnung"}, False),
    (INVOICE, {"glob": "*[f]*"}, False),
    (INVOICE, {"pattern": "f.r M"}, True),
    (INVOICE, {"pattern": "(?-i:RECHNUNG)"}, False),
    (b"Subject: a\r\n b\r\n\r\n", {"equals": "a b"}, True),
    (b"Subject: first\r\nSubject: second\r\n\r\n", {"equals": "second"}, True),
    (b"Subject:\r\n\r\n", {"equals": ""}, True),
    (b"\r\n", {"equals": ""}, False),
    (b"", {"contains": "x"}, False),
    (b"subject : odd\r\n\r\n", {"equals": "odd"}, True),
    (b"Subject: =?no-such?q?x?=\r\n\r\n", {"contains": "no-such"}, True),
    (b"Subject: =?utf-8?b?\xff\xfe?=\r\n\r\n", {"contains": "utf-8"}, False),
    (b"Subject: \xff\x00\xfe\r\n\r\n", {"pattern": "\\x00"}, True),
    (b"Subject: =?utf-7?q?+2AA-?=\r\n\r\n", {"pattern": "^.$"}, True),
    (b"no header at all", {"pattern": "no"}, False),
]


@pytest.mark.parametrize(("raw", "compared", "expected"), SUBJECTS)
def test_subject_and_header_are_compared_alike(raw: bytes, compared: dict[str, Any], expected: bool) -> None:
    assert check({"kind": "subject", **compared}, facts(raw)) is expected
    assert check({"kind": "header", "name": "SUBJECT", **compared}, facts(raw)) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"name": "X-Loop"}, True),
        ({"name": "x-loop", "equals": "TWO"}, True),
        ({"name": "X-Loop", "equals": "three"}, False),
        ({"name": "List-Id"}, False),
    ],
)
def test_header(condition: dict[str, Any], expected: bool) -> None:
    assert check({"kind": "header", **condition}, facts(INVOICE)) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"at_least_bytes": 10}, True),
        ({"at_least_bytes": 11}, False),
        ({"at_most_bytes": 10}, True),
        ({"at_most_bytes": 9}, False),
        ({"at_least_bytes": 5, "at_most_bytes": 20}, True),
        ({"at_most_bytes": 0}, False),
    ],
)
def test_size(condition: dict[str, Any], expected: bool) -> None:
    assert check({"kind": "size", **condition}, facts(b"0123456789")) is expected


@pytest.mark.parametrize(
    ("client", "network", "expected"),
    [
        ("192.0.2.7", "192.0.2.0/24", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", ["10.0.0.0/8", "192.0.2.6/31"], True),
        ("192.0.2.7", "10.0.0.0/8", False),
        ("192.0.2.7", "::/0", False),
        ("::ffff:192.0.2.7", "192.0.2.0/24", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("unix", "0.0.0.0/0", False),
        ("", "0.0.0.0/0", False),
    ],
)
def test_client(client: str, network: str | list[str], expected: bool) -> None:
    assert check({"kind": "client", "network": network}, facts(client=client)) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"name": "a.yes"}, True),
        ({"name": "a.no"}, False),
        ({"name": "a.none"}, False),
        ({"name": "a.zero"}, True),
        ({"name": "a.no", "value": False}, True),
        ({"name": "a.zero", "value": 0}, True),
        ({"name": "a.zero", "value": False}, False),
        ({"name": "a.yes", "value": 1}, False),
        ({"name": "a.word", "value": "Word"}, True),
        ({"name": "a.word", "value": "word"}, False),
    ],
)
def test_tag(condition: dict[str, Any], expected: bool) -> None:
    about = facts(tags={"a.yes": True, "a.no": False, "a.zero": 0, "a.word": "Word"})
    assert check({"kind": "tag", **condition}, about) is expected


def test_all_any_and_not_combine() -> None:
    small, large = {"kind": "size", "at_most_bytes": 10}, {"kind": "size", "at_least_bytes": 1000}
    for kind, conditions, expected in (
        ("all", [small, small], True),
        ("all", [small, large], False),
        ("any", [large, small], True),
        ("any", [large, large], False),
        ("any", [{"kind": "all", "conditions": [small, {"kind": "not", "condition": large}]}], True),
    ):
        assert check({"kind": kind, "conditions": conditions}, facts()) is expected


def nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"kind": "size", "at_most_bytes": 1}
    for _ in range(depth - 1):
        condition = {"kind": "not", "condition": condition}
    return condition


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        (nested(MAX_DEPTH), True),
        (nested(MAX_DEPTH + 1), False),
        (nested(400), False),
        ({"kind": "any", "conditions": [nested(1)] * (MAX_CONDITIONS - 1)}, True),
        ({"kind": "any", "conditions": [nested(1)] * MAX_CONDITIONS}, False),
    ],
    ids=["deep", "too deep", "hostile", "wide", "too wide"],
)
def test_a_tree_has_a_sane_size(when: dict[str, Any], fits: bool) -> None:
    rule = json.dumps({"id": "x", "when": when, "then": {"kind": "keep"}})
    if fits:
        assert Rule.model_validate_json(rule).to_json() == json.loads(rule)
    else:
        with pytest.raises(ValidationError):
            Rule.model_validate_json(rule)


words = st.text(alphabet="abÄß *?.\\[\U0001f600", max_size=8)
some_words = st.lists(words, min_size=1, max_size=3)
filled_words = st.lists(words.filter(bool), min_size=1, max_size=3)
locals_ = st.from_regex(r"[A-Za-z][A-Za-z0-9+]{0,5}", fullmatch=True)
addresses = st.lists(locals_.map(lambda local: f"{local}@Example.test"), min_size=1, max_size=3)
patterns = st.lists(st.sampled_from(["a+", "^x|y$", "(?i)ü", "[a-z]{2,3}"]), min_size=1, max_size=2)
ways_of_address = st.one_of(
    st.builds(lambda equals: {"equals": equals}, addresses),
    st.builds(lambda glob: {"glob": glob}, st.lists(st.sampled_from(["*@*", "a?@b.test"]), min_size=1)),
    st.builds(lambda pattern: {"pattern": pattern}, patterns),
)
ways_of_text = st.one_of(
    st.builds(lambda equals: {"equals": equals}, some_words),
    st.builds(lambda contains: {"contains": contains}, filled_words),
    st.builds(lambda glob: {"glob": glob}, filled_words),
    st.builds(lambda pattern: {"pattern": pattern}, patterns),
)
values = st.one_of(st.booleans(), st.integers(-5, 5), words)
leaves = st.one_of(
    st.builds(lambda way: {"kind": "recipient", **way}, ways_of_address),
    st.builds(lambda way: {"kind": "sender", **way}, ways_of_address | st.just({"equals": ["<>"]})),
    st.builds(lambda way: {"kind": "subject", **way}, ways_of_text),
    st.builds(lambda way: {"kind": "header", "name": "X-Any", **way}, ways_of_text | st.just({})),
    st.builds(lambda octets: {"kind": "size", "at_least_bytes": octets}, st.integers(0, 100)),
    st.just({"kind": "client", "network": ["192.0.2.1/24", "2001:db8::1"]}),
    st.builds(lambda value: {"kind": "tag", "name": "a.b", "value": value}, values),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda kind, conditions: {"kind": kind, "conditions": conditions},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda condition: {"kind": "not", "condition": condition}, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_a_tree_survives_json_and_can_be_asked(tree: dict[str, Any]) -> None:
    condition = CONDITION.validate_python(tree)
    text = CONDITION.dump_json(condition, exclude_defaults=True)
    again = CONDITION.validate_json(text)
    assert again == condition
    assert CONDITION.dump_json(again, exclude_defaults=True) == text
    assert sum(map(len, levels(again))) == sum(map(len, levels(condition)))
    about = facts(INVOICE, tags={"a.b": "x"})
    assert holds(again)(about) is holds(condition)(Facts(about.message, about.recipient))


def cut(text: str) -> Facts:
    """A subject of which more than `text` is not looked at."""
    room = MAX_TEXT_OCTETS - len("Subject: ") - len(text)
    return facts(f"Subject: {'a' * room}{text}and more\r\n\r\n".encode())


YES = {"kind": "recipient", "glob": "*@*"}
NO = {"kind": "recipient", "equals": "bo@example.test"}


@pytest.mark.parametrize(
    ("compared", "expected"),
    [
        ({"equals": "a" * 1000}, None),
        ({"contains": ["x", "key"]}, True),
        ({"contains": "and"}, None),
        ({"glob": "a*key *"}, True),
        ({"glob": "a*key"}, None),
        ({"glob": "a*key ??"}, None),
        ({"glob": ["b*", "*more"]}, None),
        ({"pattern": "^a"}, True),
        ({"pattern": "a.*"}, True),
        ({"pattern": "^b"}, None),
        ({"pattern": "key x$"}, None),
        ({"pattern": r"key x\z"}, None),
        ({"pattern": r"\bkey\b"}, True),
        ({"pattern": r"key x\b"}, None),
        ({"pattern": r"x\B"}, None),
        ({"pattern": "(key|$)"}, True),
        ({"pattern": "(a+)+ key x$"}, None),
        ({"pattern": ["x", "key"]}, True),
    ],
)
def test_of_a_text_that_was_cut_only_what_stays_true_counts(compared: dict[str, Any], expected: bool | None) -> None:
    assert check({"kind": "subject", **compared}, cut(" key x")) is expected
    assert check({"kind": "header", "name": "Subject", **compared}, cut(" key x")) is expected


def test_a_field_that_is_not_looked_at_may_say_anything() -> None:
    behind = facts(b"X: " + b"a" * MAX_TEXT_OCTETS + b"\r\nX: b\r\n\r\n")
    in_front = facts(b"X: b\r\nX: " + b"a" * MAX_TEXT_OCTETS + b"\r\n\r\n")
    for pattern in ("^b$", "^$"):
        assert check({"kind": "header", "name": "X", "pattern": pattern}, behind) is None
    assert check({"kind": "header", "name": "X", "equals": "b"}, in_front) is True
    assert check({"kind": "header", "name": "X"}, behind) is True
    assert check({"kind": "header", "name": "Y"}, behind) is False


def test_half_an_encoded_word_is_not_read() -> None:
    word = "=?utf-8?q?=C3=A4_" + "x" * 40 + "?="
    about = cut(f" {word[:30]}")
    assert check({"kind": "subject", "contains": "utf-8"}, about) is None
    assert check({"kind": "subject", "contains": "utf-8"}, facts(b"Subject: a =?utf-8?q?=C3 b\r\n\r\n")) is True


@pytest.mark.parametrize(
    ("kind", "parts", "expected"),
    [
        ("all", [YES], None),
        ("all", [NO], False),
        ("any", [YES], True),
        ("any", [NO], None),
    ],
)
def test_what_is_not_known_counts_where_it_matters(
    kind: str, parts: list[dict[str, Any]], expected: bool | None
) -> None:
    unknown = {"kind": "subject", "equals": "x"}
    for conditions in ([unknown, *parts], [*parts, unknown]):
        assert check({"kind": kind, "conditions": conditions}, cut("")) is expected


def test_what_is_known_of_one_condition_is_never_taken_for_that_of_another() -> None:
    """Not even when the other one was thrown away, and this one stands in memory where it stood."""
    about = facts(b"X: b\r\n\r\n")
    for _ in range(100):
        assert holds(CONDITION.validate_python({"kind": "header", "name": "X"}))(about) is True
        assert holds(CONDITION.validate_python({"kind": "header", "name": "Y"}))(about) is False
