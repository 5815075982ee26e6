"""Wrong configurations: each error names file, line, what was found, what is allowed and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.config import Config, load, read
from gateway.config.reading import render_problems
from gateway.errors import ConfigError

GOOD = """\
plugins = []
[[listener]]
name = "mx"
address = "127.0.0.1:2525"
[next_hop.mail]
kind = "maildir"
path = "var/mail/{domain}/{local}"
"""


def errors_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, "s.toml")
    assert caught.value.exit_status == 2
    return caught.value.problems


def test_a_right_configuration_is_read_and_knows_its_source() -> None:
    config = read(GOOD, "s.toml")
    assert (config.listeners[0].name, config.server.workers) == ("mx", 1)
    assert config.source is not None
    assert (config.source.name, config.source.text) == ("s.toml", GOOD)


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (
            "[limits]\nmax_mesage_bytes = 1",
            's.toml:9: found the unknown key limits.max_mesage_bytes; did you mean "max_message_bytes"?',
        ),
        ("[servr]", 's.toml:8: found the unknown key servr; did you mean "server"?'),
        ("[log]\nzzz = 1", "s.toml:9: found the unknown key log.zzz; known here: level"),
        (
            '[server]\nworkers = "two"',
            's.toml:9: found "two" (a string) at server.workers; expected a whole number, at least 1 and at most 64',
        ),
        (
            "[server]\nworkers = 0",
            "s.toml:9: found 0 at server.workers; expected a whole number, at least 1 and at most 64",
        ),
        (
            "[server]\nworkers = true",
            "s.toml:9: found true (a boolean) at server.workers; expected a whole number, at least 1 and at most 64",
        ),
        ("server = 3", "s.toml:8: found the unknown key next_hop.mail.server; known here: kind, path, line_ends, "),
        ("[server]\ndrain_seconds = inf", "s.toml:9: found inf at server.drain_seconds; expected a number, at least 0"),
        (
            '[log]\nlevel = "warn"',
            (
                's.toml:9: found "warn" at log.level; expected one of "debug", "info", "warning", "error"; '
                'did you mean "warning"?'
            ),
        ),
        (
            '[next_hop.out]\nkind = "smpt"',
            (
                's.toml:9: found "smpt" at next_hop.out.kind; expected one of "maildir", "smtp", "lmtp"; '
                'did you mean "smtp"?'
            ),
        ),
        (
            "[next_hop.out]\nport = 25",
            's.toml:8: next_hop.out.kind is missing; expected one of "maildir", "smtp", "lmtp"',
        ),
        (
            '[next_hop.out]\nkind = "smtp"\nconections = 3\naddress = "127.0.0.1:1"',
            's.toml:10: found the unknown key next_hop.out.conections; did you mean "connections"?',
        ),
        (
            '[[listener]]\nname = "b"\nprotocol = "lmtp"',
            (
                's.toml:8: listener[1].address is missing; expected "host:port", "[ipv6]:port" or "unix:/path" '
                "(where it listens; a UNIX socket has mode 0660)"
            ),
        ),
        (
            '[[listener]]\nname = "b"\naddress = "2525"',
            's.toml:10: found "2525" at listener[1].address; expected "host:port", "[ipv6]:port" or "unix:/path"',
        ),
        (
            '[[listener]]\nname = "b"\naddress = "::1:25"',
            's.toml:10: found "::1:25" at listener[1].address; expected "host:port", "[ipv6]:port" or "unix:/path"',
        ),
        (
            '[[listener]]\nname = "B!"\naddress = "[::1]:2526"',
            (
                's.toml:9: found "B!" at listener[1].name; expected lower-case letters, digits, - and _, '
                "beginning with a letter"
            ),
        ),
        (
            '[[listener]]\nname = "mx"\naddress = "127.0.0.1:2526"',
            's.toml:9: listener[1].name: two listeners are called "mx"; give each its own name',
        ),
        (
            '[[listener]]\nname = "b"\naddress = "127.0.0.1:2525"',
            "s.toml:10: listener[1].address: two listeners have the address 127.0.0.1:2525; give each its own",
        ),
        (
            '[[listener]]\nname = "b"\nrole = "filter"\naddress = "127.0.0.1:2526"\ntrusted_peers = ["0.0.0.0/0"]',
            "s.toml:12: listener[1].trusted_peers: with 0.0.0.0/0 everybody would be trusted",
        ),
        (
            '[[listener]]\nname = "b"\nrole = "filter"\naddress = "192.0.2.1:25"\ntrusted_peers = ["192.0.2.2"]',
            's.toml:11: listener[1].address: role "filter" on 192.0.2.1:25 can be reached from the network',
        ),
        (
            '[[listener]]\nname = "b"\nrole = "proxy"\naddress = "192.0.2.1:25"\ntrusted_peers = ["192.0.2.2"]',
            's.toml:11: listener[1].address: role "proxy" on 192.0.2.1:25 can be reached from the network',
        ),
        (
            '[[listener]]\nname = "b"\nrole = "proxy"\naddress = "127.0.0.1:2526"',
            's.toml:10: listener[1].role: role "proxy" takes mail for any domain: name the mail servers',
        ),
        (
            '[[listener]]\nname = "b"\nrole = "proxy"\nprotocol = "lmtp"\naddress = "unix:/tmp/b"',
            's.toml:11: listener[1].protocol: role "proxy" wants protocol = "smtp"',
        ),
        (
            '[[listener]]\nname = "b"\naddress = "127.0.0.1:2526"\ntrusted_peers = [\n"::1",\n"local"]',
            "s.toml:13: listener[1].trusted_peers[1]: found 'local'; expected a network, for example \"127.0.0.1/32\"",
        ),
        (
            '[[listener]]\nname = "b"\naddress = "127.0.0.1:2526"\ntrusted_authserv_ids = ["mx.test"]',
            "s.toml:11: listener[1].trusted_authserv_ids: anybody could write such a field",
        ),
        (
            '[[listener]]\nname = "b"\naddress = "unix:/b"\ntrusted_authserv_ids = ["mx.test", "mx .test"]',
            "s.toml:11: listener[1].trusted_authserv_ids[1]: found 'mx .test'; expected a name like mx.example.org",
        ),
        (
            '[server]\nhostname="gw.test"\n[[listener]]\nname="b"\naddress="unix:/b"\ntrusted_authserv_ids=["GW.test"]',
            's.toml:13: listener[1].trusted_authserv_ids: "gw.test" is server.hostname: fields in our own name',
        ),
        (
            '[routing]\nhosted = "mial"',
            's.toml:9: routing.hosted: "mial" is no next hop; there are: "mail"',
        ),
        (
            '[next_hop.self]\nkind = "smtp"\naddress = "127.0.0.1:2525"',
            's.toml:10: next_hop.self.address: this is our own listener "mx" (127.0.0.1:2525)',
        ),
        (
            '[hosted."exa mple"]\nmailboxes = []',
            's.toml:8: found "exa mple" at hosted."exa mple"; expected a domain: the domain is malformed',
        ),
        (
            "[hosted.'example.test']\nmailboxes = [\n\"a\",\n3]",
            's.toml:11: found 3 (a whole number) at hosted."example.test".mailboxes[1]; expected a string',
        ),
        (
            '[hosted."example.test"]\nmailboxes = ["*", "anna.b", "anna@example.test"]',
            (
                's.toml:9: hosted."example.test".mailboxes[2]: found "anna@example.test"; '
                'expected the part before the @ ("anna")'
            ),
        ),
        (
            '[hosted."example.test"]\nmailboxes = ["Anna Müller"]',
            (
                's.toml:9: hosted."example.test".mailboxes[0]: found "Anna Müller"; expected the part before the @ '
                '("anna"): the local part holds a character that must be quoted'
            ),
        ),
        (
            "[hosted.example.test]\nmailboxes = []",
            's.toml:8: hosted.example.test: quote the domain: [hosted."example.test"]',
        ),
        (
            '[next_hop.two]\nkind = "maildir"\npath = "mail/{localpart}"',
            (
                's.toml:10: found "mail/{localpart}" at next_hop.two.path; {localpart} is unknown here; '
                "expected {domain} and {local}"
            ),
        ),
        ("[plugin]\nsize_limit = 3", "s.toml:9: found 3 (a whole number) at plugin.size_limit; expected a table"),
        (
            '[store]\nurl = "mysql://root:hidden@db/x"',
            's.toml:9: found a string at store.url; expected "sqlite:///path" or "postgresql://user@host/name"',
        ),
    ],
)
def test_one_error(added: str, expected: str) -> None:
    problems = errors_of(GOOD + added)
    assert len(problems) == 1
    assert problems[0].startswith(expected)
    assert "hidden" not in problems[0]


def test_every_error_at_once_in_the_order_of_the_file() -> None:
    text = """\
plugins = ["a", "a"]
[server]
workers = 0
hostnam = "x"
[[listener]]
name = "mx"
[routing]
outbound = "nowhere"
[next_hop.mail]
kind = "maildir"
path = "{local}"
"""
    found = [problem.split(":")[1] for problem in errors_of(text)]
    assert found == ["1", "3", "4", "5", "8"]


def test_a_single_listener_in_single_brackets() -> None:
    (problem,) = errors_of(GOOD.replace("[[listener]]", "[listener]"))
    assert problem == "s.toml:2: found [listener]; write [[listener]], since there may be several"


def test_what_is_missing_altogether_has_no_line() -> None:
    listener, next_hop = errors_of("plugins = []")
    assert listener.startswith(
        "s.toml: listener is missing; expected tables, each under its own [[...]], at least one ("
    )
    assert next_hop == "s.toml: next_hop is missing; expected a table (where mail is handed on to)"


def test_the_models_own_field_names_are_no_keys() -> None:
    assert errors_of(GOOD.replace("[[listener]]", "[[listeners]]"))[-1].startswith(
        's.toml:2: found the unknown key listeners; did you mean "listener"?'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a = 1\nb = = 2",
            's.toml:2:5: not TOML: found b = = 2; expected a number, true, false, "text in quotes" or a [list]',
        ),
        ("[store]\nauto_upgrade = yes # or no", "2:16: found auto_upgrade = yes; expected true or false"),
        ("[store]\nauto_upgrade = True\n", "2:16: found auto_upgrade = True; expected true or false"),
        ("[server]\nhostname = gw.test", '2:12: found hostname = gw.test; expected text in quotes: "gw.test"'),
        ("[store]\nurl = postgresql://me:hidden@host/x", "2:7: invalid value"),
        ("[server]\nworkers = 1\nworkers = 2\n", '3:12: "workers" stands here a second time; keep one of the two'),
        (
            "[server]\nworkers = 1\nworkers = 2",
            's.toml:3: not TOML: "workers" stands here a second time; keep one of the two (at the end of the file)',
        ),
        ("[server]\n[server]\n", "2:8: [server] stands here a second time; put its keys under the first one"),
        (
            '[listener]\nname = "a"\n[listener]\nname = "b"\n',
            "3:10: [listener] stands here a second time; write [[listener]] above each of them",
        ),
        (
            '[listener]\nname = "a"\n[[listener]]\nname = "b"\n',
            "3:11: [listener] stands here a second time; write [[listener]] above each of them",
        ),
        ('a = "never closed', "s.toml:1: not TOML: unterminated string (at the end of the file)"),
    ],
)
def test_broken_toml_has_line_and_column(text: str, expected: str) -> None:
    place, _, said = expected.partition(": ")
    full = expected if expected.startswith("s.toml") else f"s.toml:{place}: not TOML: {said}"
    assert errors_of(text) == [full]


def test_c1_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path).listeners[0].name == "mx"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ": No such file or directory; name the file with --config"),
        (b"plugins = []\n# caf\xe9\n", ":2: found the byte 0xe9; expected UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "s.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.problems == [f"{path}{expected}"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    (problem,) = errors_of(GOOD + '[log]\nlevel = "a\\u001b[31m\\n' + "x" * 200 + '"')
    assert "\x1b" not in problem
    assert "\n" not in problem
    assert len(problem) < 250


class _PluginSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_bytes: int = Field(10, ge=1)


def test_a_plugins_own_settings_are_rendered_alike() -> None:
    config = read(GOOD + "[plugin.size]\n\nmax_byte = 3\nmax_bytes = 0\n", "s.toml")
    with pytest.raises(ValidationError) as caught:
        _PluginSettings.model_validate(config.plugin["size"])
    assert render_problems(config.source, _PluginSettings, caught.value, ("plugin", "size")) == [
        's.toml:10: found the unknown key plugin.size.max_byte; did you mean "max_bytes"?',
        "s.toml:11: found 0 at plugin.size.max_bytes; expected a whole number, at least 1",
    ]
    assert render_problems(None, _PluginSettings, caught.value, ("plugin", "size"))[0].startswith("found ")


def test_a_configuration_made_in_memory_has_no_source() -> None:
    assert Config.model_validate(read(GOOD).model_dump(by_alias=True)).source is None
