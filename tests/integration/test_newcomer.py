"""docs/plugin-authors followed as they stand, with an installed wheel: files copied out of the pages, commands typed.

The environment is a new one that has the built wheel and shares the libraries of this one; nothing of the checkout is
on its path.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs" / "plugin-authors"
PATIENCE_SECONDS = 60

pytestmark = pytest.mark.slow


class Newcomer:
    """A person with a terminal in `directory`, whose `stellwerk` is the installed one."""

    def __init__(self, directory: Path, environment: Path) -> None:
        self.directory = directory
        self._bin = environment / "bin"
        self._serving: subprocess.Popen[bytes] | None = None

    def types(self, command: str, *, status: int = 0) -> str:
        """What the command printed, standard error last."""
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=self.directory,
            env={"PATH": f"{self._bin}:/usr/bin:/bin", "STELLWERK_CONFIG": "stellwerk.toml", "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def serve(self) -> None:
        with (self.directory / "serve.log").open("wb") as output:
            self._serving = subprocess.Popen(
                [self._bin / "stellwerk", "serve", "--config", "stellwerk.toml"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.waits_for("ready (process")

    def reloads(self) -> None:
        """`kill -HUP` with the number from the log, and wait for the line that the page names."""
        generation = (self.directory / "serve.log").read_text().count("has gone") + 1
        self.types("kill -HUP $(sed -n 's/^ready (process \\([0-9]*\\)).*/\\1/p' serve.log)")
        self.waits_for(f"generation {generation} has gone")

    def waits_for(self, text: str) -> None:
        log = self.directory / "serve.log"
        self.types(f"for i in $(seq {PATIENCE_SECONDS * 5}); do grep -qF '{text}' {log} && exit 0; sleep 0.2; done; "
                   f"cat {log}; exit 1")  # fmt: skip

    def stops(self) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.terminate()
            assert serving.wait(PATIENCE_SECONDS) == 0

    def puts(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel of this checkout."""
    top = tmp_path_factory.mktemp("installed")
    wheel(CHECKOUT, top / "dist")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", top / "venv"], check=True)
    # Not `site-packages` of this environment as a site directory: the link to the checkout in it must not work.
    libraries = top / "venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (libraries / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install(top / "venv", next((top / "dist").glob("stellwerk-*.whl")))
    return top / "venv"


def wheel(project: Path, into: Path) -> None:
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(into), str(project))


def install(environment: Path, wheel: Path) -> None:
    pip("--python", str(environment / "bin" / "python"), "install", "--no-deps", "--no-index", "--ignore-installed",
        "--prefix", str(environment), str(wheel))  # fmt: skip


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def newcomer(tmp_path: Path, environment: Path) -> Iterator[Newcomer]:
    person = Newcomer(tmp_path, environment)
    yield person
    person.stops()


def block(page: str, beginning: str) -> str:
    """The code block of a page that begins like this."""
    found: list[str] = re.findall(
        r"^```\w*\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return next(text for text in found if text.startswith(beginning))


POSTFIX = '[next_hop.postfix]\nkind = "smtp"\naddress = "127.0.0.1:10026"\n'
SEND = "stellwerk send --from bo@elsewhere.test --to anna@example.test mail.eml"


def test_the_wheel_has_everything_in_it(newcomer: Newcomer) -> None:
    text = (CHECKOUT / "conf" / "stellwerk.toml").read_text(encoding="utf-8")
    assert '# outbound = "postfix"' in text
    newcomer.puts("stellwerk.toml", text.replace('# outbound = "postfix"', 'outbound = "postfix"') + POSTFIX)
    assert "site-packages/gateway" in newcomer.types("python -c 'import gateway; print(gateway.__file__)'")
    assert "Stellwerk, a mail gateway" in newcomer.types("stellwerk --help")
    assert "size_limit\t0.1.0" in newcomer.types("stellwerk plugins")
    assert "ok; listeners: mx, queue" in newcomer.types("stellwerk config check")
    assert "127.0.0.1:2424" in newcomer.types("stellwerk postfix recipe after-queue-lmtp")
    assert "size_limit: nothing found" in newcomer.types("stellwerk plugins check size_limit")


def test_the_first_plugin_from_its_folder_and_as_a_wheel(newcomer: Newcomer, environment: Path) -> None:
    newcomer.types("stellwerk plugins new word_mark")
    newcomer.directory /= "word_mark"
    source = newcomer.directory
    is_sound(newcomer)
    newcomer.puts("stellwerk.toml", block("first-plugin.md", "plugins = ").replace(":2525", ":0"))
    newcomer.puts("mail.eml", block("first-plugin.md", "From: "))

    # Steps 4 and 5: from its folder. It tags, breaks, is skipped, and is whole again.
    assert "word_mark\tlocal" in newcomer.types("stellwerk plugins")
    assert "X-Word-Mark: invoice" in newcomer.types("stellwerk explain --to anna@example.test mail.eml")
    newcomer.serve()
    tags(newcomer)
    sound, promised = breaks(source)
    newcomer.reloads()
    follows_its_policy(newcomer, promised)
    settings = (source / "stellwerk.toml").read_text()
    newcomer.puts("stellwerk.toml", f'{settings}on_error = "skip"\n')
    newcomer.reloads()
    is_skipped(newcomer, promised)
    newcomer.puts("stellwerk.toml", settings)
    (source / PLUGIN).write_text(sound)
    newcomer.reloads()
    tags(newcomer)
    newcomer.stops()
    is_sound(newcomer)

    # Publishing: what was built passes its own tests in a folder that has no source, and does the same.
    builds(source, environment)
    newcomer.directory = source.parent / "elsewhere"
    newcomer.directory.mkdir()
    newcomer.types("cp -r ../word_mark/tests ../word_mark/conftest.py ../word_mark/mail.eml .")
    assert "site-packages/word_mark" in newcomer.types("python -c 'import word_mark; print(word_mark.__file__)'")
    assert "5 passed" in newcomer.types("python -m pytest -p no:cacheprovider")
    assert "word_mark: nothing found" in newcomer.types("stellwerk plugins check word_mark")
    assert settings.count('plugin_dir = "."\n') == 1
    settings = settings.replace('plugin_dir = "."\n', "")
    newcomer.puts("stellwerk.toml", settings)
    assert "word_mark\t0.1.0" in newcomer.types("stellwerk plugins")
    newcomer.serve()
    tags(newcomer)
    breaks(source)
    builds(source, environment)
    newcomer.reloads()
    follows_its_policy(newcomer, promised)
    assert "word_mark/plugin.py:24" in newcomer.types("stellwerk trace --last 1 --json")
    newcomer.puts("stellwerk.toml", f'{settings}on_error = "skip"\n')
    newcomer.reloads()
    is_skipped(newcomer, promised)


PLUGIN = Path("word_mark/plugin.py")


def is_sound(newcomer: Newcomer) -> None:
    """Its own tests pass, and the check finds nothing."""
    assert "5 passed" in newcomer.types("python -m pytest -p no:cacheprovider")
    assert "word_mark: nothing found" in newcomer.types("stellwerk plugins check .")


def tags(newcomer: Newcomer) -> None:
    newcomer.types("rm -rf var/mail")
    told = newcomer.types(SEND)
    assert "tag      word_mark.found = True" in told
    assert "reply    250" in told
    assert "X-Word-Mark: invoice\n" in newcomer.types("cat var/mail/example.test/anna/new/*")


def breaks(source: Path) -> tuple[str, str]:
    """Put the page's line into the plugin; what stood there, and the trace line that the page promises."""
    page = (DOCS / "first-plugin.md").read_text(encoding="utf-8")
    line = re.search(r"^    (raise ValueError\(.*\))$", page, re.MULTILINE)
    promised = re.search(r"failed \(tempfail\): ValueError: not today \(.*\)", page)
    assert line is not None
    assert promised is not None
    assert "**Take the line out again**" in page[line.end() :]
    sound = (source / PLUGIN).read_text()
    head, mark, rest = sound.partition("def message_received(self, message: Message) -> Tag | None:\n")
    (source / PLUGIN).write_text(f"{head}{mark}        {line[1]}\n{rest}")
    return sound, promised[0]


def builds(source: Path, environment: Path) -> None:
    """The wheel of the source as it stands, installed in place of an earlier one."""
    wheel(source, source / "dist")
    install(environment, next((source / "dist").glob("stellwerk_word_mark-0.1.0-*.whl")))


def follows_its_policy(newcomer: Newcomer, promised: str) -> None:
    told = newcomer.types(SEND, status=1)
    assert "451 4.3.0 local processing failed, try again later [" in told
    assert "plugin   word_mark.message_received " in told
    assert promised in told


def is_skipped(newcomer: Newcomer, promised: str) -> None:
    newcomer.types("rm -rf var/mail")
    told = newcomer.types(SEND)
    assert "reply    250" in told
    assert promised.replace("tempfail", "skip") in told
    assert "word_mark.found" not in told
    assert "X-Word-Mark" not in newcomer.types("cat var/mail/example.test/anna/new/*")
