"""`stellwerk plugins check`: everything that can be said about one plugin, from its code, its README and a trial."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.authoring.code import Code, blocks, read_code, undeclared
from gateway.authoring.findings import Finding, Source
from gateway.authoring.imports import check_imports
from gateway.authoring.readme import check_readme
from gateway.authoring.trial import TRIED, Failure, Lag, Report, Task
from gateway.errors import StellwerkError
from gateway.hooks.finding import available, there
from gateway.hooks.loader import HOOKS
from gateway.hooks.local import local_file

TRIAL_SECONDS = 120
_UNDECLARED = re.compile(r"tag '([^']*)' was not declared")
_PLACE = re.compile(r" \((?:[^()]*/)?([^()/]+):(\d+)\)\Z")
_LOADERS_PLACE = re.compile(r"(.+?):(\d+): plugin \S+: (.*)")
_LAST_PLACE = re.compile(r"\(([^()]+):(\d+)\)\Z")


class NoSuchPlugin(StellwerkError):
    """What was to be checked is no plugin."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """All findings in the order of files and lines; which hooks were tried on how many samples, and which were not."""

    source: Source
    findings: tuple[Finding, ...]
    samples: int
    tried: tuple[str, ...]
    not_tried: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "plugin": self.source.name,
            "file": str(self.source.file),
            "findings": [finding.to_json() for finding in self.findings],
            "samples": self.samples,
            "tried": list(self.tried),
            "not_tried": list(self.not_tried),
        }


def find_source(what: str, plugin_dir: Path | None) -> Source:
    """`what` is a path (a module, a plugin's folder, or a project around it) or a name. Raises `NoSuchPlugin`."""
    path = Path(what)
    if path.suffix == ".py" and path.is_file():
        path = path.resolve()
        return _folder(path.parent) if path.name == "plugin.py" else Source(path.stem, path, None)
    if path.is_dir():
        path = path.resolve()
        if (path / "plugin.py").is_file():
            return _folder(path)
        inside = [folder.parent for folder in sorted(path.glob("*/plugin.py"))]
        if len(inside) == 1:
            return _folder(inside[0])
        raise NoSuchPlugin(f"{what}: expected a folder with plugin.py, or a project with one such folder")
    local = local_file(what, plugin_dir)
    if local is not None:
        return _folder(local.parent) if local.name == "plugin.py" else Source(what, local.resolve(), None)
    entry = available().get(what)
    if entry is None:
        known = ", ".join(there(plugin_dir)) or "none"
        raise NoSuchPlugin(f"there is no path and no plugin {what!r}; plugins: {known}")
    return _installed(what, entry)


def check(source: Source, settings: dict[str, Any]) -> Checked:
    """`settings`: the keys of [plugin.NAME] that it is tried with."""
    code = read_code(source.files)
    findings = {*code.findings, *check_imports(source, code.imports)}
    report = _trial(source, settings)
    if not (report.problems and code.findings):  # the code says it better, and all at once
        findings |= {_problem(source, problem) for problem in report.problems}
    findings |= {_failed(source, code, failure) for failure in _first_of_each(report.failures)}
    known = {(finding.file, finding.line) for finding in findings if finding.rule == "blocking"}
    findings |= {_lagged(source, lag) for lag in _worst(report.lags) if (lag.file, lag.line) not in known}
    text = "has no description: add Field(..., description=...)"
    findings |= {
        Finding(str(source.file), 1, "settings", f"plugin.{source.name}.{key} {text}")
        for key in report.without_description
    }
    if source.readme is not None:
        headers = sorted({*report.headers, *code.headers})
        findings |= set(check_readme(source.readme, settings=report.settings, tags=report.tags, headers=headers))
    tried = tuple(hook for hook in HOOKS if hook in report.hooks)
    text = source.file.read_text(encoding="utf-8", errors="replace")
    others = tuple(hook for hook in HOOKS if hook not in TRIED and hook != "register" and f"def {hook}(" in text)
    return Checked(source, tuple(sorted(findings)), report.samples, tried, others)


def _folder(folder: Path) -> Source:
    folder = folder.resolve()
    return Source(folder.name, folder / "plugin.py", folder)


def _installed(name: str, entry: EntryPoint) -> Source:
    """Where an installed plugin's source stands; its package is not imported but the one above is."""
    try:
        found = find_spec(entry.module)
    except ImportError as error:
        raise NoSuchPlugin(f"plugin {name}: {entry.value} cannot be imported: {error}") from None
    if found is None or found.origin is None:
        raise NoSuchPlugin(f"plugin {name}: {entry.value} has no source file")
    file = Path(found.origin).resolve()
    distribution = entry.dist.name if entry.dist is not None else ""
    return Source(name, file, file.parent if "." in entry.module else None, distribution)


def _trial(source: Source, settings: dict[str, Any]) -> Report:
    plugin_dir = "" if source.distribution else str(source.plugin_dir)
    folder = str(source.folder or source.file)
    # What the plugin left running, if anything, may still write there.
    with tempfile.TemporaryDirectory(prefix="stellwerk-trial-", ignore_cleanup_errors=True) as directory:
        return _tried(source, Task(source.name, plugin_dir, folder, directory, settings))


def _tried(source: Source, task: Task) -> Report:
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "gateway.authoring.trial"],
            input=json.dumps(asdict(task)),
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
        told = json.loads(ran.stdout)
    except subprocess.TimeoutExpired:
        return Report(problems=[f"{source.file}:1: plugin {source.name}: the trial did not end"])
    except ValueError:
        last = (ran.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        text = f"it ended the process it was tried in (exit status {ran.returncode}): {last}"
        return Report(problems=[f"{source.file}:1: plugin {source.name}: {text}"])
    told["failures"] = [Failure(**failure) for failure in told["failures"]]
    told["lags"] = [Lag(**lag) for lag in told["lags"]]
    return Report(**told)


def _problem(source: Source, problem: str) -> Finding:
    """The loader's words, with the place they name."""
    found = _LOADERS_PLACE.match(problem)
    if found and Path(found[1]).is_file():
        return Finding(found[1], int(found[2]), "load", found[3])
    place = _LAST_PLACE.search(problem)
    if place and Path(place[1]).is_file():
        return Finding(place[1], int(place[2]), "load", problem[: place.start()].strip())
    rule = "settings" if problem.startswith("the trial:") else "load"
    hint = "; name a configuration with its settings: --config FILE" if rule == "settings" else ""
    return Finding(str(source.file), 1, rule, re.sub(r"^the trial:\d*:? ?", "", problem) + hint)


def _failed(source: Source, code: Code, failure: Failure) -> Finding:
    tag = _UNDECLARED.search(failure.error)
    if tag:
        file, line = code.tags_used.get(tag[1], (source.file, 1))
        return Finding(str(file), line, "tags", undeclared(tag[1]))
    place = _PLACE.search(failure.error)
    file, line = source.file, 1
    if place:
        file = next((each for each in source.files if each.name == place[1]), source.file)
        line = int(place[2])
    error = failure.error[: place.start()] if place else failure.error
    return Finding(str(file), line, "failure", f"{failure.hook} failed on {failure.sample}: {error}")


def _first_of_each(failures: list[Failure]) -> Iterable[Failure]:
    """The same fault on several samples is one."""
    return {(failure.hook, failure.error): failure for failure in reversed(failures)}.values()


def _worst(lags: list[Lag]) -> list[Lag]:
    """The longest of each line."""
    found: dict[tuple[str, str, int], Lag] = {}
    for lag in sorted(lags, key=lambda lag: lag.seconds):
        found[lag.hook, lag.file, lag.line] = lag
    return list(found.values())


def _lagged(source: Source, lag: Lag) -> Finding:
    what = f"{lag.hook} kept the event loop for {lag.seconds:g} s on {lag.sample}: this line"
    return Finding(lag.file or str(source.file), lag.line or 1, "blocking", blocks(what, "what can be awaited"))
