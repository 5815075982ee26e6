"""What is wrong with a rule is said with file, line, key, and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from tests.core.cli.in_process import config_file, run
from tests.hooks.walk import CONFIG, loaded

WHEN = 'kind = "size", at_most_bytes = 1'
THEN = 'kind = "keep"'
WHERE = "plugin.forwarding.rule[0]"


async def problems(when: str = WHEN, then: str = THEN, more: str = 'id = "a"') -> list[str]:
    """What the loader says; the rule's `when` stands in line 4 of what is added, `then` in line 5."""
    tables = f"[[plugin.forwarding.rule]]\n{more}\n\nwhen = {{ {when} }}\nthen = {{ {then} }}\n"
    before = CONFIG.partition("{tables}")[0].count("\n")
    with pytest.raises(ConfigError) as error:
        async with loaded("forwarding", tables=tables):
            raise AssertionError("it was taken")
    found = []
    for problem in error.value.problems:
        file, line, text = problem.split(":", 2)
        assert file == "test.toml"
        found.append(f"{int(line) - before}:{text}")
    return found


AN_ADDRESS = 'expected an address such as "anna@example.test": an address needs a local part, an @ and a domain'
AN_ID = "expected letters, digits, dots, dashes and underscores, at most 60"
A_NETWORK = 'expected an address or a network such as "192.0.2.0/24"'
A_TAG = 'expected a name such as "size_limit.attachment_bytes"'
A_LINE = "expected one line of ASCII, at most 200 characters"
A_FIELD = "expected a string, at most 1000 characters (name of the field, in any case)"
GLOBS = 'expected globs for local part and domain, such as "*@example.test"'
NOT_EMPTY = "expected a text that is not empty: an empty one is in every text"
BOTH = "at_least_bytes is larger than at_most_bytes: no message is both"
KINDS = 'expected one of "all", "any", "not", "recipient", "sender", "subject", "header", "size", "client", "tag"'
ONE_WAY = "found a table at {}; expected exactly one of"
MISFIT = "found a table at {}; enhanced status code"


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ('subject", pattern = "("', 'found "(" at {}.pattern[0]; expected an RE2 pattern: missing ): ('),
        (
            'subject", pattern = "(?=x)"',
            'found "(?=x)" at {}.pattern[0]; expected an RE2 pattern: invalid perl operator: (?=',
        ),
        ('subject", pattern = ""', f'found "" at {{}}.pattern[0]; {NOT_EMPTY}'),
        ('recipient", equals = "anna"', f'found "anna" at {{}}.equals[0]; {AN_ADDRESS}'),
        ('recipient", equals = "<>"', f'found "<>" at {{}}.equals[0]; {AN_ADDRESS}'),
        ('sender", glob = "*.example.test"', f'found "*.example.test" at {{}}.glob[0]; {GLOBS}'),
        ('recipient"', f"{ONE_WAY} equals, glob, pattern; found none"),
        ('subject"', f"{ONE_WAY} equals, contains, glob, pattern; found none"),
        ('subject", contains = "a", glob = "b"', f"{ONE_WAY} equals, contains, glob, pattern; found contains and glob"),
        ('subject", contains = ""', f'found "" at {{}}.contains[0]; {NOT_EMPTY}'),
        ('subject", contains = 7', "found 7 (a whole number) at {}.contains; expected a text or a list of texts"),
        ('header", name = "X Y"', 'found "X Y" at {}.name; expected the name of a header field, such as "List-Id"'),
        ('header"', f"{{}}.name is missing; {A_FIELD}"),
        ('size"', "found a table at {}; expected at_least_bytes, at_most_bytes or both"),
        ('size", at_least_bytes = 9, at_most_bytes = 1', f"found a table at {{}}; {BOTH}"),
        ('size", at_most_bytes = "9"', 'found "9" (a string) at {}.at_most_bytes; expected a whole number, at least 0'),
        ('client", network = "localhost"', f'found "localhost" at {{}}.network[0]; {A_NETWORK}'),
        ('tag", name = "invoice"', f'found "invoice" at {{}}.name; {A_TAG}'),
        ('all", conditions = []', "found a list at {}.conditions; expected a list of conditions"),
        (
            'not", condition = { kind = "sizes" }',
            f'found "sizes" at {{}}.condition.kind; {KINDS}; did you mean "size"?',
        ),
        ('recipient", equal = "anna@example.test"', 'found the unknown key {}.equal; did you mean "equals"?'),
    ],
)
async def test_conditions(when: str, problem: str) -> None:
    assert await problems(when=f'kind = "{when}') == [f"4: {problem.format(f'{WHERE}.when')}"]


async def test_a_condition_says_its_kind() -> None:
    assert await problems(when='equals = "anna@example.test"') == [f"4: {WHERE}.when.kind is missing; {KINDS}"]


@pytest.mark.parametrize("pattern", ["(((a{100}){100}){100})", "a{1001}", "\\\\1", "[z-a]", "\\\\C*(?P<x", "a**"])
async def test_r17_no_pattern_is_taken_that_re2_does_not_take(pattern: str) -> None:
    (problem,) = await problems(when=f'kind = "subject", pattern = "{pattern}"')
    assert f"{WHERE}.when.pattern[0]; expected an RE2 pattern: " in problem


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        ('redirect", targets = []', "found a list at {}.targets; expected a list of addresses, 1 to 100"),
        ('redirect", targets = ["anna"]', f'found "anna" at {{}}.targets[0]; {AN_ADDRESS}'),
        (
            'redirect", targets = ["a@b.test"], keep = "yes"',
            'found "yes" (a string) at {}.keep; expected true or false',
        ),
        ('refuse", code = 250', "found 250 at {}.code; expected a whole number, at least 400 and at most 599"),
        ('refuse", code = 550, enhanced = "4.7.1"', f"{MISFIT} '4.7.1' does not fit reply code 550"),
        ('refuse", enhanced = "no"', f"{MISFIT} 'no' does not fit reply code 550"),
        ('refuse", text = "zu groß"', f'found "zu groß" at {{}}.text; {A_LINE}'),
        ('refuse", text = "a\\r\\n250 ok"', f'found "a\\r\\n250 ok" at {{}}.text; {A_LINE}'),
        (
            'tag", name = "Very Important"',
            'found "Very Important" at {}.name; expected lower-case letters, digits and underscores',
        ),
        (
            'tag", name = "undecided"',
            'found "undecided" at {}.name; expected another name: the plugin itself sets "undecided"',
        ),
        (
            'forward"',
            'found "forward" at {}.kind; expected one of "redirect", "keep", "discard", "refuse", "tag"',
        ),
    ],
)
async def test_actions(then: str, problem: str) -> None:
    assert await problems(then=f'kind = "{then}') == [f"5: {problem.format(f'{WHERE}.then')}"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('id = ""', f'found "" at {{}}.id; {AN_ID}'),
        ('id = "two words"', f'found "two words" at {{}}.id; {AN_ID}'),
        ('id = "a"\nstopp = true', 'found the unknown key {}.stopp; did you mean "stop"?'),
        ('id = "a"\nstop = 1', "found 1 (a whole number) at {}.stop; expected true or false"),
    ],
)
async def test_rules(more: str, problem: str) -> None:
    found = await problems(more=more)
    assert [text.partition(": ")[2] for text in found] == [problem.format(WHERE)]


async def test_every_problem_is_told_at_once() -> None:
    found = await problems('kind = "subject", pattern = ["(", "a", ")"]', 'kind = "refuse", code = 99')
    assert [problem.partition(" at ")[2].partition(";")[0] for problem in found] == [
        f"{WHERE}.when.pattern[0]",
        f"{WHERE}.when.pattern[2]",
        f"{WHERE}.then.code",
    ]


def test_config_check_prints_what_forwarding_to_the_outside_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = f'[[plugin.forwarding.rule]]\nid = "a"\nwhen = {{ {WHEN} }}\n'
    then = 'then = { kind = "redirect", targets = ["x@far.test", "bo@example.test"] }\n'
    file = config_file(tmp_path, "forwarding", tables=rule + then)
    ran = run(capsys, monkeypatch, "config", "check", "--config", str(file))
    assert ran.status == 0
    first, second = ran.output.splitlines()
    assert first.endswith("plugins: forwarding")
    assert second.startswith("note: forwarding: mail is forwarded to the outside (x@far.test) with its sender as it is")


async def test_ids_are_unique() -> None:
    tables = f'[[plugin.forwarding.rule]]\nid = "a"\nwhen = {{ {WHEN} }}\nthen = {{ {THEN} }}\n' * 2
    with pytest.raises(ConfigError, match=r'two rules are called "a"; give each its own id'):
        async with loaded("forwarding", tables=tables):
            pass


async def test_a_table_of_its_own_is_the_same_rule() -> None:
    tables = (
        '[plugin.forwarding.rule.when]\nkind = "subject"\npattern = "("\n[plugin.forwarding.rule.then]\nkind = "keep"\n'
    )
    with pytest.raises(ConfigError) as error:
        async with loaded("forwarding", tables=f'[[plugin.forwarding.rule]]\nid = "a"\n{tables}'):
            pass
    (problem,) = error.value.problems
    line = CONFIG.partition("{tables}")[0].count("\n") + 5
    assert problem.startswith(f'test.toml:{line}: found "(" at {WHERE}.when.pattern')
