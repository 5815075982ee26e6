"""Tries a plugin on sample messages: `python -m gateway.authoring.trial`, a process that the check starts.

Nothing is handed on: the samples are explained. What a hook raises, returns wrongly, or keeps the event loop from doing
is written to standard output as JSON. A plugin may hang or end this process; that is what it is for.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Generator
from dataclasses import asdict, dataclass, field
from inspect import isawaitable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, SupportsIndex

from gateway.app import Gateway
from gateway.authoring.samples import Sample, samples
from gateway.config import read
from gateway.errors import ConfigError
from gateway.explain import Question, explain
from gateway.hooks.runner import Call
from gateway.mail.address import Address
from gateway.testing.configuration import config_text
from gateway.testing.outcomes import hook_calls

LAG_SECONDS = 0.1
HANG_SECONDS = 5.0
_LONGEST_SLEEP_SECONDS = 0.2
_SLEEPS = 8
_SAMPLE_SECONDS = 0.01
TRIED = frozenset(
    {
        "smtp_connect", "smtp_mail", "smtp_rcpt_check", "smtp_rcpt_claim", "message_received", "route_recipient",
        "message_annotate", "plan_review",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """What to try: a plugin by name, from `plugin_dir` unless that is empty. `folder` holds its files.

    `directory` is for what the trial writes. Who starts the trial removes it, since the trial may not live so long.
    """

    name: str
    plugin_dir: str
    folder: str
    directory: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Lag:
    """A hook kept the event loop for `seconds` without a pause; most of it in this line."""

    hook: str
    seconds: float
    file: str
    line: int
    sample: str


@dataclass(slots=True)
class Failure:
    """A hook raised or returned something else than it may; `error` names the line when it raised."""

    hook: str
    error: str
    sample: str


@dataclass(slots=True)
class Report:
    """What came of it. `problems` are the loader's own words when the plugin does not even load."""

    problems: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    without_description: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    lags: list[Lag] = field(default_factory=list)
    samples: int = 0


class _Watch(threading.Thread):
    """Notes where the plugin's code is while a step runs, and ends the process when one does not end."""

    def __init__(self, report: Report, folder: Path) -> None:
        super().__init__(daemon=True)
        self._report = report
        self._folder = folder
        self._watched = threading.get_ident()
        self.hook = ""
        self.sample = ""
        self.since = 0.0
        self.seen: Counter[tuple[str, int]] = Counter()

    def run(self) -> None:
        while True:
            time_sleep(_SAMPLE_SECONDS)
            since, frame = self.since, sys._current_frames().get(self._watched)
            if not since or frame is None:
                continue
            place = self._place(frame)
            if place is not None:
                self.seen[place] += 1
            if time.monotonic() - since > HANG_SECONDS:
                self.lag(HANG_SECONDS)
                _print(self._report)
                os._exit(0)

    def lag(self, seconds: float) -> None:
        (file, line), _ = self.seen.most_common(1)[0] if self.seen else (("", 0), 0)
        self._report.lags.append(Lag(self.hook, round(seconds, 2), file, line, self.sample))

    def _place(self, frame: FrameType | None) -> tuple[str, int] | None:
        while frame is not None:
            if Path(frame.f_code.co_filename).is_relative_to(self._folder):
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return None


class _Timed:
    """A hook whose every step between two pauses is timed. It looks like the function to who asks for its code."""

    def __init__(self, call: Call, watch: _Watch) -> None:
        self._function = call.function
        self._hook = call.hook
        self._watch = watch
        self.is_found = False
        """Whether it is known to block: then nothing more is noted."""
        self.__code__: CodeType | None = getattr(call.function, "__code__", None)

    def __call__(self, **arguments: Any) -> Any:
        began = self._begin()
        try:
            answer = self._function(**arguments)
            if not isawaitable(answer) and hasattr(answer, "__next__"):
                answer = list(answer)
        finally:
            self._end(began)
        return self._awaited(answer) if isawaitable(answer) else answer

    async def _awaited(self, answer: Awaitable[Any]) -> Any:
        return await _Steps(answer, self)

    def _begin(self) -> float:
        self._watch.hook = self._hook
        self._watch.seen.clear()
        self._watch.since = time.monotonic()
        return self._watch.since

    def _end(self, began: float) -> None:
        took = time.monotonic() - began
        self._watch.since = 0.0
        if took >= LAG_SECONDS and not self.is_found:
            self._watch.lag(took)


class _Steps:
    """Awaits something step by step."""

    def __init__(self, awaited: Awaitable[Any], timed: _Timed) -> None:
        self._awaited = awaited
        self._timed = timed

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._awaited.__await__()
        send: Any = None
        error: BaseException | None = None
        while True:
            began = self._timed._begin()
            try:
                paused = steps.send(send) if error is None else steps.throw(error)
            except StopIteration as ended:
                return ended.value
            finally:
                self._timed._end(began)
            error = None
            try:
                send = yield paused
            except BaseException as thrown:  # noqa: BLE001 - handed to whom it is for
                error = thrown


async def _try(task: Task, report: Report) -> None:
    watch = _Watch(report, Path(task.folder))
    watch.start()
    text = config_text(
        Path(task.directory),
        [task.name],
        next_hop="127.0.0.1:1",
        settings={task.name: task.settings},
        plugin_dir=Path(task.plugin_dir) if task.plugin_dir else None,
        mailboxes=["anna", "bo", "team"],
    )
    gateway = Gateway(read(text, "the trial"), role="cli")
    try:
        _declared(gateway, task.name, report)
        calls = {hook: gateway.plugins.runner.chain(hook)[0] for hook in report.hooks}
        timed = {hook: _Timed(call, watch) for hook, call in calls.items() if call.pool is None}
        for hook, function in timed.items():
            calls[hook].function = function
        for sample in samples():
            report.samples += 1
            await _explain(gateway, sample, watch, report)
            for call in calls.values():
                call.policy.breaker.succeeded()
            for lag in report.lags:
                timed[lag.hook].is_found = True
    finally:
        await gateway.stop()


async def _explain(gateway: Gateway, sample: Sample, watch: _Watch, report: Report) -> None:
    sender = Address.parse(sample.sender) if sample.sender else None
    question = Question(sender, sample.to, sample.content, sample.listener, "192.0.2.7", "client.elsewhere.test")
    watch.sample = sample.what
    before = len(report.lags)
    told = await explain(gateway, question)
    if len(report.lags) > before:
        # A busy machine stops for a moment; a hook that blocks does so again.
        again = len(report.lags)
        await explain(gateway, question)
        lasting = {lag.hook for lag in report.lags[again:]}
        report.lags[before:] = [lag for lag in report.lags[before:again] if lag.hook in lasting]
    report.failures += [Failure(call.hook, call.error, sample.what) for call in hook_calls(told.events) if call.error]
    if told.plan is not None:
        edits = [told.plan.edits, *(step.edits for each in told.plan.recipients for step in each.deliveries)]
        names = {line.partition(":")[0] for each in edits for line in each.prepend}
        report.headers += sorted(
            name for name in names - set(report.headers) if not name.startswith("X-Stellwerk-Loop")
        )


def _declared(gateway: Gateway, name: str, report: Report) -> None:
    loaded = gateway.plugins.get(name)
    assert loaded is not None
    fields = type(loaded.instance).config_model.model_fields
    report.tags = [f"{name}.{tag}" for tag in loaded.declared.tags]
    report.settings = [field.alias or key for key, field in fields.items()]
    report.without_description = [key for key, field in fields.items() if not field.description]
    report.hooks = [hook for hook in TRIED if gateway.plugins.runner.chain(hook)]


def _print(report: Report) -> None:
    os.write(_report_to, json.dumps(asdict(report)).encode())


time_sleep = time.sleep


_sleeps = iter(range(_SLEEPS))


def _short_sleep(seconds: float | SupportsIndex) -> None:
    """Long enough to be seen, and often enough."""
    if next(_sleeps, None) is not None:
        time_sleep(min(float(seconds), _LONGEST_SLEEP_SECONDS))


def main() -> None:
    task = Task(**json.load(sys.stdin))
    report = Report()
    time.sleep = _short_sleep
    try:
        asyncio.run(_try(task, report))
    except ConfigError as error:
        report.problems = error.problems
    _print(report)


# Plugins may print: the report has a way of its own.
_report_to = os.dup(1) if __name__ == "__main__" else 1

if __name__ == "__main__":
    os.dup2(2, 1)
    main()
