"""Lines of keys, in every way TOML lets one write them."""

from __future__ import annotations

import pytest

from gateway.config.locate import KeyPath, key_lines, locate

TEXT = '''\
# comment = 1
plugins = ["a", # ] not an end
  "b",
]
a.b."c.d" = { x = 1.5, "y" = [ {z = "}"} ] }
prose = """
[fake]
key = 1
"""
[server] # [x]
when = 1979-05-27 07:32:00
hostname = 'a#b'
[[listener]]
name = "x"
[[listener]]
  name = "y"
[listener.sub]
k = true
[hosted."example.test"]
mailboxes = [
  "anna",
  # here
  "bo" ]
[[deep.list]]
[[deep.list.inner]]
k = "\\"["
[[deep.list.inner]]
k = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("plugins",), 2),
        (("plugins", 0), 2),
        (("plugins", 1), 3),
        (("a", "b", "c.d", "y", 0, "z"), 5),
        (("prose",), 6),
        (("server",), 10),
        (("server", "when"), 11),
        (("server", "hostname"), 12),
        (("listener",), 13),
        (("listener", 0, "name"), 14),
        (("listener", 1), 15),
        (("listener", 1, "name"), 16),
        (("listener", 1, "sub", "k"), 18),
        (("hosted", "example.test", "mailboxes"), 20),
        (("hosted", "example.test", "mailboxes", 1), 23),
        (("deep", "list", 0, "inner", 0, "k"), 26),
        (("deep", "list", 0, "inner", 1, "k"), 28),
    ],
)
def test_line_of_a_key(path: KeyPath, line: int) -> None:
    assert key_lines(TEXT)[path] == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("server", "missing"), 10),
        (("listener", 1, "address"), 15),
        (("nowhere",), None),
        (("fake",), None),
        (("comment",), None),
    ],
)
def test_a_missing_key_is_found_at_its_table(path: KeyPath, line: int | None) -> None:
    assert locate(TEXT, path) == line


def test_windows_line_ends_count_as_one() -> None:
    assert locate(TEXT.replace("\n", "\r\n"), ("listener", 1, "name")) == 16
