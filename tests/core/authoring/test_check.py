"""`stellwerk plugins check`: each kind of fault is found with its line, and a good plugin has none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.authoring.check import NoSuchPlugin, check, find_source
from gateway.authoring.code import read_code
from gateway.authoring.readme import SECTIONS, check_readme
from gateway.authoring.scaffold import scaffold
from tests.core.cli.in_process import run

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways

HEAD = "import asyncio, subprocess, time\nfrom gateway.api import *\nfrom gateway.api import Plugin, Tag, hookimpl\n"

PLUGINS = Path(__file__).parents[3] / "plugins" / "stellwerk_plugins"
SHIPPED = sorted(file.parent.name for file in PLUGINS.glob("*/plugin.py"))

CODE = [
    ("@hookimpl\ndef smtp_mial(self): ...", 5, 'hooks: there is no hook "smtp_mial"; did you mean "smtp_mail"?'),
    ("@hookimpl\ndef xyz(self): ...", 5, 'hooks: there is no hook "xyz"; hooks are: register, '),
    ("def smtp_mail(self): ...", 4 + 1, "hooks: smtp_mail is a hook's name but lacks @hookimpl"),
    ("@hookimpl\ndef smtp_mail(self, wish, *, more): ...", 6, "smtp_mail asks for wish, more; it may name session"),
    ("@hookimpl\ndef smtp_mail(self, **more): ...", 6, "hooks: smtp_mail asks for more"),
    ("@hookimpl(tryfirst=True)\ndef smtp_mail(self): ...", 5, "hooks: smtp_mail sets tryfirst"),
    ("@hookimpl\nasync def message_annotate(self):\n    yield 1", 6, "is an async generator; return a list"),
    ("async def register(self, registry): ...", 5, "hooks: register may not be async"),
    ("@hookimpl\ndef smtp_mail(self):\n    return Tag('x')", 7, 'tags: tag "x" is not declared: add registry.tag("x"'),
    ("@hookimpl\ndef run_job(self):\n    time.sleep(1)", 7, "blocking: time.sleep in run_job stops the event loop"),
    ("@hookimpl\nasync def run_job(self):\n    subprocess.run(['x'])", 7, "blocking: subprocess.run in run_job"),
    ("blocking = True\n@hookimpl\nasync def run_job(self):\n    time.sleep(1)", 8, "blocking: time.sleep"),
]  # fmt: skip


def written(directory: Path, body: str, head: str = HEAD) -> Path:
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    file = directory / "mine.py"
    file.write_text(f"{head}class Mine(Plugin):\n{indented}")
    return file


@pytest.mark.parametrize(("body", "line", "expected"), CODE)
def test_what_the_code_says(tmp_path: Path, body: str, line: int, expected: str) -> None:
    file = written(tmp_path, body)
    (found,) = read_code((file,)).findings
    marked = body.startswith("@hookimpl") and "def" in body and line == 5 and "sets" not in expected
    assert found.file == str(file)
    assert found.line == line + (1 if marked else 0)
    assert expected in f"{found.rule}: {found.text}"


BY_RULE = """
def register(self, registry):
    for name in "ab":
        registry.tag(name, "")

@hookimpl
def smtp_mail(self):
    return Tag("a")
"""


@pytest.mark.parametrize(
    "body",
    [
        "blocking = True\n@hookimpl\ndef run_job(self):\n    time.sleep(1)",
        "@hookimpl\ndef run_job(self):\n    def later():\n        time.sleep(1)\n    return asyncio.to_thread(later)",
        BY_RULE,
        "def help(self, anything): ...",
    ],
)
def test_what_is_right(tmp_path: Path, body: str) -> None:
    assert read_code((written(tmp_path, body),)).findings == []


def test_code_that_does_not_parse(tmp_path: Path) -> None:
    (found,) = read_code((written(tmp_path, "def x(:"),)).findings
    assert (found.line, found.rule) == (5, "load")


TRIED = """
def register(self, registry):
    registry.tag("known", "for tests")
    self.name = "un" + "known"

@hookimpl
async def message_received(self, message):
    await asyncio.sleep(0)
    self.work()
    return Tag(self.name)

def work(self):
    end = time.monotonic() + 0.15
    while time.monotonic() < end:
        pass

@hookimpl
def message_annotate(self, message):
    if not message.headers.get("subject"):
        raise ValueError("no subject")

@hookimpl
def delivery_succeeded(self): ...
"""


@pytest.mark.slow
def test_what_only_a_trial_shows(tmp_path: Path) -> None:
    checked = check(find_source(str(written(tmp_path, TRIED)), None), {})
    found = {(finding.rule, finding.line): finding.text for finding in checked.findings}
    assert found["tags", 1].startswith('tag "unknown" is not declared')
    (lag,) = [text for (rule, line), text in found.items() if rule == "blocking" and line in {16, 17, 18}]
    assert "message_received kept the event loop for 0." in lag
    assert checked.samples > 10
    assert checked.tried == ("message_received", "message_annotate")
    assert checked.not_tried == ("delivery_succeeded",)


def test_what_a_hook_raises(tmp_path: Path) -> None:
    body = TRIED[TRIED.index("@hookimpl\ndef message_annotate") :]
    checked = check(find_source(str(written(tmp_path, body)), None), {})
    texts = {(finding.line, finding.text) for finding in checked.findings}
    assert texts == {(8, "message_annotate failed on a message without any header: ValueError: no subject")}


@pytest.mark.slow
def test_g6_a_sleep_and_a_request_in_the_loop_are_found(tmp_path: Path) -> None:
    body = (
        "@hookimpl\nasync def message_received(self):\n    time.sleep(20)\n"
        "@hookimpl\nasync def smtp_mail(self):\n    self.ask()\n"
        "def ask(self):\n    sock = __import__('socket').socket()\n    sock.bind(('127.0.0.1', 0))\n"
        "    sock.settimeout(0.2)\n    sock.listen()\n    try:\n        sock.accept()\n    except TimeoutError:\n"
        "        pass\n    sock.close()\n"
    )
    checked = check(find_source(str(written(tmp_path, body)), None), {})
    blocking = [(finding.line, finding.text) for finding in checked.findings if finding.rule == "blocking"]
    assert [line for line, _ in blocking] == [7, 17]
    assert re.search(r"smtp_mail kept the event loop for \d+(\.\d+)? s", blocking[1][1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("@hookimpl\ndef smtp_connect(self):\n    __import__('os')._exit(3)", "it ended the process it was tried in"),
        ("def __init__(self, config, services):\n    raise OSError('no luck')", "OSError: no luck"),
    ],
)
def test_a_plugin_that_ends_or_does_not_load(tmp_path: Path, body: str, expected: str) -> None:
    checked = check(find_source(str(written(tmp_path, body)), None), {})
    (finding,) = checked.findings
    assert finding.rule == "load"
    assert expected in finding.text


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("pass", ""),
        ("os._exit(3)", "it ended the process it was tried in (exit status 3)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "it ended the process it was tried in (exit status -9)"),
        ("while True: pass", "message_received kept the event loop for 5 s"),
    ],
)
def test_a_trial_leaves_nothing_behind_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, text: str
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    body = f"@hookimpl\ndef message_received(self):\n    import os, signal\n    {line}\n"
    checked = check(find_source(str(written(tmp_path, body)), None), {})
    assert text in "".join(finding.text for finding in checked.findings)
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_nothing_is_left_of_a_trial_that_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("gateway.authoring.check.TRIAL_SECONDS", 3)
    body = "@hookimpl\nasync def message_received(self):\n    await asyncio.sleep(3600)\ntimeout_seconds = 3600.0\n"
    (found,) = check(find_source(str(written(tmp_path, body)), None), {}).findings
    assert found.text.endswith("the trial did not end")
    assert list(temporary.iterdir()) == []


def test_a_scaffold_has_no_findings_and_what_is_taken_from_it_is_one(tmp_path: Path) -> None:
    scaffold("word_mark", tmp_path)
    project = tmp_path / "word_mark"
    source = find_source(str(project), None)
    assert check(source, {"word": "offer"}).findings == ()
    package = project / "word_mark"
    readme = (package / "README.md").read_text()
    (package / "README.md").write_text(readme.replace("## Failure", "## Fail").replace("word_mark.found", "x"))
    plugin = (package / "plugin.py").read_text()
    (package / "plugin.py").write_text(
        plugin.replace("from gateway.api", "import idna\nfrom gateway.hookspecs import PROJECT\nfrom gateway.api", 1)
    )
    found = {(Path(finding.file).name, finding.line, finding.text) for finding in check(source, {}).findings}
    assert {text.partition(":")[0] for name, _, text in found if name == "README.md"} == {
        'the section "## Failure" is missing',
        '"## Tags" does not name `word_mark.found`',
    }
    assert {(line, text.partition(" ")[0]) for name, line, text in found if name == "plugin.py"} == {
        (7, "idna"),
        (8, "gateway.hookspecs"),
    }


def test_wrong_settings_say_what_to_name(tmp_path: Path) -> None:
    scaffold("word_mark", tmp_path)
    (finding,) = check(find_source(str(tmp_path / "word_mark"), None), {"wort": "offer"}).findings
    assert finding.rule == "settings"
    assert "plugin.word_mark.wort" in finding.text
    assert "--config FILE" in finding.text


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_wanted(tmp_path: Path, section: str) -> None:
    file = tmp_path / "README.md"
    file.write_text("".join(f"## {name}\n\nx\n\n" for name in SECTIONS if name != section))
    assert [finding.text for finding in check_readme(file)] == [f'the section "## {section}" is missing']


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_plugins_pass(name: str) -> None:
    assert check(find_source(name, None), {}).findings == ()


def test_what_is_no_plugin(tmp_path: Path) -> None:
    for what in ("nowhere", str(tmp_path)):
        with pytest.raises(NoSuchPlugin):
            find_source(what, None)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "@hookimpl\ndef smtp_mial(self): ...")
    config = tmp_path / "s.toml"
    config.write_text(f'plugin_dir = "{tmp_path}"\n')
    checked = run(capsys, monkeypatch, "plugins", "check", "mine", "--config", str(config))
    assert checked.status == 1
    assert checked.output.splitlines()[0].startswith(f"{file}:6: hooks: there is no hook")
    told = json.loads(run(capsys, monkeypatch, "plugins", "check", str(file), "--json").output)
    assert [finding["rule"] for finding in told["findings"]] == ["hooks"]
    assert run(capsys, monkeypatch, "plugins", "check", "nowhere").status == 2
