"""Every `stellwerk ...` on a page names a command that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli.main import stellwerk

CHECKOUT = Path(__file__).parents[3]
PAGES = sorted(
    page
    for pattern in ("README.md", "docs/**/*.md", "plugins/stellwerk_plugins/*/README.md", "contrib/**/*.md")
    for page in CHECKOUT.glob(pattern)
)
TREE = "serve              the supervisor: sockets, lock on the state directory, no plugin, no mail"
EXCEPTIONS = {TREE: "a tree of processes", "postfix check": "Postfix's own program"}
"""What stands on a page and is no command line of today, and why it stands there."""

_FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^(?:    |\t)(.*)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
# A word in front may be sudo's -u: then it is the account, and the program comes next.
_CALL = re.compile(
    r"(?:^|(?<=[\s/(]))(?<!-[ugo] )stellwerk +(?!stellwerk\b)(?=([a-z][a-z|\\-]*(?:\s[^\n]*)?$))", re.MULTILINE
)
_ENDS = re.compile(r"(?:[|&;<]|\d?>).*")
"""What the shell does with a command's output, and the next command."""


_CONTEXT = click.Context(stellwerk)
_GROUPS = {
    name for name in stellwerk.list_commands(_CONTEXT)
    if isinstance(stellwerk.get_command(_CONTEXT, name), click.Group)
}  # fmt: skip


def command_lines(text: str) -> Iterator[str]:
    """What stands behind `stellwerk ` in blocks of code and in code within a line; there also `user list` by itself."""
    text = text.replace("\\\n", " ")
    blocks = [*_FENCED.findall(text), *_INDENTED.findall(_FENCED.sub("", text))]
    spans = [" ".join(span.split()) for span in _INLINE.findall(_FENCED.sub("", text))]
    for piece in (*blocks, *(span for span in spans if re.match(r"(sudo .*)?(\S*/)?stellwerk ", span))):
        yield from (found.strip() for found in _CALL.findall(piece))
    yield from (span for span in spans if span.partition(" ")[0] in _GROUPS and re.match(r"\w+ [a-z-]+", span))


def words_of(line: str) -> list[str]:
    """The words of one command, without what the shell does with it, comments, and signs that say "optional"."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quote that ends on the next line of prose
        words = line.split()
    end = next((number for number, word in enumerate(words) if _ENDS.fullmatch(word)), len(words))
    return [word.strip("[]()").rstrip(";,") for word in words[:end] if word.strip("[]().;,") not in {"", "..."}]


def wrong_with(line: str) -> str:
    """What is not so, in one line; empty when there is such a command."""
    words = words_of(line)
    commands: list[click.Command] = [stellwerk]
    while words and isinstance(commands[0], click.Group):
        if words[0].startswith("-") or words[0].isupper():  # an option of the group itself; COMMAND, any of them
            break
        group = commands[0]
        found = [group.get_command(_CONTEXT, name) for name in words[0].replace("\\|", "|").split("|")]
        if None in found:
            return f"there is no {words[0]} among {', '.join(group.list_commands(_CONTEXT))}"
        commands, words = [command for command in found if command is not None], words[1:]
    return next((wrong for command in commands if (wrong := _wrong_words(command, words))), "")


def _wrong_words(command: click.Command, words: list[str]) -> str:
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    room = sum(each.nargs if each.nargs > 0 else 1000 for each in command.params if isinstance(each, click.Argument))
    rest = iter(words)
    for word in rest:
        name, given, _ = word.partition("=")
        if name in {"--help", "-h"}:
            continue
        if word.startswith("-") and len(word) > 1:
            option = options.get(name)
            if not isinstance(option, click.Option):
                return f"{command.name} has no {name}; it has {', '.join(options)}"
            if not option.is_flag and not given:
                next(rest, None)
        elif isinstance(command, click.Group):
            continue
        else:
            room -= 1
    return f"{command.name} takes fewer words" if room < 0 else ""


LINES = [
    pytest.param(line, id=f"{page.relative_to(CHECKOUT)}: {line[:70]}")
    for page in PAGES
    for line in dict.fromkeys(command_lines(page.read_text(encoding="utf-8")))
]


def test_there_are_command_lines() -> None:
    assert len(LINES) > 200
    assert EXCEPTIONS.keys() <= {param.values[0] for param in LINES}


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_on_a_page_is_one(line: str) -> None:
    assert line in EXCEPTIONS or not wrong_with(line)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("mailbox set ADDRESS --max-message-bytes N", "set has no --max-message-bytes"),
        ("mailbox sets ADDRESS", "there is no sets among "),
        ("mailboxes list", "there is no mailboxes among "),
        ("config check|descibe", "there is no check|descibe among "),
        ("user show bo@acme.test anna@acme.test", "show takes fewer words"),
        ("user list --context sales --state active | sort", ""),
        ("plugins --json", ""),
        ("config check|describe", ""),
        ('send "mail.eml" --to=x@y.test --from a@b.test  # and so on', ""),
    ],
)
def test_what_is_found_wrong_with_a_line(line: str, wrong: str) -> None:
    found = wrong_with(line)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)
