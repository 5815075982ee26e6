"""Calls plugins: one after the other, each awaited, each behind its policy. Nobody else may call a plugin.

Plain pluggy would run all sync implementations before any coroutine is awaited; in a mail chain order is meaning.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from types import FrameType
from typing import Any

from gateway.hooks.policy import Policy
from gateway.hooks.registry import Accept
from gateway.mail.edits import AddHeader, RemoveHeader, ReplaceHeader
from gateway.mail.envelope import Identity
from gateway.mail.message import Tag, TagValue, asking
from gateway.mail.reply import Reply
from gateway.routing.effects import Done, Job, Record, Retry
from gateway.routing.plan import DeliveryPlan
from gateway.routing.route import Deliver, Discard, Hold, Redirect, Refuse

log = logging.getLogger("stellwerk.plugins")

MAX_EFFECTS = 1000
Event = dict[str, Any]
Story = list[Event]
Note = Callable[[Mapping[str, TagValue]], None]

_EFFECTS: tuple[type, ...] = (AddHeader, ReplaceHeader, RemoveHeader, Record, Job, Tag)
_ANSWERS: dict[str, tuple[type, ...]] = {
    "smtp_connect": (Reply, Tag),
    "smtp_auth": (Identity, Reply),
    "smtp_mail": (Reply, Tag),
    "smtp_rcpt_check": (Reply, Tag),
    "smtp_rcpt_claim": (Accept, Reply),
    "message_received": (Reply, Tag),
    "route_recipient": (Redirect, Deliver, Hold, Discard, Refuse),
    "message_annotate": _EFFECTS,
    "plan_review": (DeliveryPlan, Reply),
    "run_job": (Done, Retry),
}
_LISTS = {"smtp_connect", "smtp_mail", "smtp_rcpt_check", "message_received", "message_annotate"}


def running_in(frame: FrameType) -> str | None:
    """For which plugin and hook the code in `frame` runs, for the worker's watchdog (another thread)."""
    station: FrameType | None = frame
    while station is not None:
        if station.f_code is _in_the_loop.__code__:
            call: Call = station.f_locals["call"]
            return f"plugin {call.plugin}, hook {call.hook}"
        station = station.f_back
    return None


class PluginFailure(Exception):
    """A plugin with `on_error = "tempfail"` failed: the mail is to be answered 451."""

    def __init__(self, plugin: str, hook: str, cause: str) -> None:
        super().__init__(f"{plugin}.{hook}: {cause}")


class WrongAnswer(TypeError):
    """A hook returned something that its specification does not allow."""


@dataclass(slots=True)
class Call:
    """One plugin's implementation of one hook, with everything that calling it takes, worked out at load time."""

    plugin: str
    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    policy: Policy
    tags: frozenset[str] = frozenset()
    pool: ThreadPoolExecutor | None = None
    made: int = 0
    """Calls so far, for metrics; `failed` of them did not answer, `seconds` is what they all took."""
    failed: int = 0
    seconds: float = 0.0

    @property
    def is_shadow(self) -> bool:
        return self.policy.mode == "shadow"


@dataclass(slots=True)
class Outcome:
    """What a chain came to: the deciding answer if any, and the tags of all plugins."""

    answer: Any = None
    plugin: str = ""
    tags: dict[str, TagValue] = field(default_factory=dict)


class Runner:
    """Runs the chains. `calls` maps each hook to its implementations in the order of the configuration."""

    def __init__(self, calls: Mapping[str, Sequence[Call]]) -> None:
        self._calls = {hook: tuple(chain) for hook, chain in calls.items() if chain}

    def chain(self, hook: str) -> tuple[Call, ...]:
        """The implementations of a hook; empty when no plugin has one."""
        return self._calls.get(hook, ())

    def calls(self) -> Iterator[Call]:
        """Every implementation of every hook."""
        return (call for chain in self._calls.values() for call in chain)

    async def until_rejection(
        self,
        hook: str,
        story: Story,
        note: Note | None = None,
        without: Collection[str] = (),
        /,
        **arguments: Any,
    ) -> Outcome:
        """Tags of each plugin; the first Reply that rejects ends the chain. Raises `PluginFailure`.

        `note` is told each plugin's tags before the next plugin is asked. Plugins in `without` are left out.
        """
        outcome = Outcome()
        for call in self.chain(hook):
            if call.plugin in without:
                continue
            answer = await self.invoke(call, arguments, story) or ()
            tags = {f"{call.plugin}.{item.name}": item.value for item in answer if isinstance(item, Tag)}
            outcome.tags |= tags
            if note is not None and tags:
                note(tags)
            for item in answer:
                if isinstance(item, Reply) and not item.is_accept and outcome.answer is None:
                    outcome.answer, outcome.plugin = item, call.plugin
            if outcome.answer is not None:
                break
        return outcome

    async def first_answer(
        self, hook: str, story: Story, without: Collection[str] = (), /, **arguments: Any
    ) -> Outcome:
        """The first answer that is not None. Plugins in `without` are left out. Raises `PluginFailure`."""
        for call in self.chain(hook):
            if call.plugin in without:
                continue
            answer = await self.invoke(call, arguments, story)
            if answer is not None:
                return Outcome(answer, call.plugin)
        return Outcome()

    async def collect(self, hook: str, story: Story, **arguments: Any) -> list[tuple[str, Any]]:
        """All effects of all plugins, in order, each with its plugin's name. Raises `PluginFailure`."""
        found: list[tuple[str, Any]] = []
        for call in self.chain(hook):
            found += [(call.plugin, item) for item in await self.invoke(call, arguments, story) or ()]
        return found

    async def tell(self, hook: str, story: Story, *, backwards: bool = False, **arguments: Any) -> None:
        """Inform every plugin; failures are logged and change nothing."""
        chain = self.chain(hook)
        for call in reversed(chain) if backwards else chain:
            try:
                await self.invoke(call, arguments, story)
            except PluginFailure as failure:
                log.warning("%s", failure)

    async def must(self, call: Call, **arguments: Any) -> None:
        """Call one plugin whose failure is never overlooked, whatever its policy. Raises `PluginFailure`."""
        try:
            await _guarded(call, arguments)
        except _Failed as failure:
            raise PluginFailure(call.plugin, call.hook, str(failure)) from None

    async def invoke(self, call: Call, arguments: Mapping[str, Any], story: Story) -> Any:
        """Call one plugin behind its policy and note it in `story`.

        None when it answered nothing, failed under `skip`, or is a shadow. Raises `PluginFailure` under `tempfail`.
        """
        event: Event = {"hook": call.hook, "plugin": call.plugin}
        story.append(event)
        if not call.policy.breaker.allows():
            return self._failed(call, event, "breaker open: failed too often in a row")
        started = time.perf_counter()
        try:
            answer = _checked(call, await _guarded(call, arguments))
        except _Failed as failure:
            event["ms"] = _milliseconds(call, started)
            if call.policy.breaker.failed():
                failures = call.policy.breaker.failures
                log.error("plugin %s failed %d times in a row in %s, breaker open", call.plugin, failures, call.hook)
            return self._failed(call, event, str(failure))
        except asyncio.CancelledError:
            call.policy.breaker.broken_off()
            raise
        event["ms"] = _milliseconds(call, started)
        call.policy.breaker.succeeded()
        if answer is not None:
            event["answer"] = _describe(answer)
        if call.is_shadow:
            event["shadow"] = True
            return None
        return answer

    def _failed(self, call: Call, event: Event, cause: str) -> None:
        call.failed += 1
        event["error"] = cause
        event["on_error"] = call.policy.on_error
        if call.is_shadow:
            event["shadow"] = True
            log.warning("plugin %s (shadow) failed in %s: %s", call.plugin, call.hook, cause)
            return
        log.warning("plugin %s failed in %s (%s): %s", call.plugin, call.hook, call.policy.on_error, cause)
        if call.policy.on_error == "tempfail":
            raise PluginFailure(call.plugin, call.hook, cause)


class _Failed(Exception):
    """The plugin's call went wrong; the text says how."""


async def _guarded(call: Call, arguments: Mapping[str, Any]) -> Any:
    """The plugin's raw answer, iterables materialised. Whatever it raises, `_Failed` comes out."""
    wanted = {name: arguments[name] for name in call.arguments}
    asking.set(call.plugin)
    try:
        if call.pool is not None:
            return await _in_its_pool(call, call.pool, wanted)
        return await _in_the_loop(call, wanted)
    except _Failed:
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _Failed("CancelledError that nobody asked for") from None
    except WrongAnswer as error:
        raise _Failed(str(error)) from None
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit too: the process lives on
        raise _Failed(_where(error, call)) from None
    finally:
        asking.set("")


async def _in_the_loop(call: Call, wanted: Mapping[str, Any]) -> Any:
    started = time.monotonic()
    answer = call.function(**wanted)
    if isawaitable(answer):
        answer = await _in_time(call, answer)
    answer = _materialise(call, answer)
    took = time.monotonic() - started
    if took > call.policy.timeout_seconds:
        timeout = call.policy.timeout_seconds
        log.warning("plugin %s: %s took %.1f s, over its %.1f s", call.plugin, call.hook, took, timeout)
    return answer


async def _in_its_pool(call: Call, pool: ThreadPoolExecutor, wanted: Mapping[str, Any]) -> Any:
    loop = asyncio.get_running_loop()
    answer, error = await _in_time(call, loop.run_in_executor(pool, copy_context().run, _caught, call, wanted))
    if error is not None:
        raise error
    return answer


def _caught(call: Call, wanted: Mapping[str, Any]) -> tuple[Any, BaseException | None]:
    """Answer or exception of a blocking hook: not every exception can travel in a Future (StopIteration is lost)."""
    try:
        return _materialise(call, call.function(**wanted)), None
    except BaseException as error:  # noqa: BLE001 - raised again in the loop
        return None, error


async def _in_time(call: Call, answer: Awaitable[Any]) -> Any:
    """The awaited answer. What comes late is none, even if the plugin caught the cancellation and went on."""
    seconds = call.policy.timeout_seconds
    try:
        async with asyncio.timeout(seconds) as limit:
            found = await answer
    except TimeoutError:
        if not limit.expired():
            raise  # the plugin's own
    if limit.expired():
        raise _Failed(f"no answer within {seconds:g} s")
    return found


def _where(error: BaseException, call: Call) -> str:
    """Exception type, text, file and line: what an admin can hand to the plugin's author."""
    if isinstance(error.__cause__, StopIteration):  # Python lets none leave a coroutine and raises RuntimeError for it
        error = error.__cause__
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    code = getattr(call.function, "__code__", None)
    folder = Path(code.co_filename).parent if code is not None else None
    own = [place for place in places if Path(place[0]).parent == folder]
    file, line = (own or places or [("?", 0)])[-1]
    return f"{type(error).__name__}: {_text(error)} ({shown_file(Path(file))}:{line})"


def shown_file(file: Path) -> str:
    """The file's name; with its folder where every plugin has a file of that name."""
    return f"{file.parent.name}/{file.name}" if file.name in {"plugin.py", "__init__.py"} else file.name


def _text(thing: object) -> str:
    """Plugins bring their own `__str__`, which may raise as well."""
    try:
        return str(thing)[:300]
    except Exception as error:  # noqa: BLE001 - see above
        return f"({type(error).__name__} in its text)"


def _materialise(call: Call, answer: Any) -> Any:
    """Lists for hooks that may return many things. A generator runs here, inside the guard."""
    if answer is None or call.hook not in _LISTS:
        return answer
    if isinstance(answer, _ANSWERS[call.hook]):
        return [answer]
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise WrongAnswer(f"{call.hook} may not return {type(answer).__name__}")
    items = []
    for item in answer:
        items.append(item)
        if len(items) > MAX_EFFECTS:
            raise WrongAnswer(f"{call.hook} returned more than {MAX_EFFECTS} things")
    return items


def _checked(call: Call, answer: Any) -> Any:
    if answer is None:
        return None
    allowed = _ANSWERS.get(call.hook, ())
    for item in answer if call.hook in _LISTS else (answer,):
        if not isinstance(item, allowed):
            names = ", ".join(kind.__name__ for kind in allowed) or "nothing"
            raise _Failed(f"returned {type(item).__name__}, allowed: {names}")
        if isinstance(item, Tag):
            _check_tag(call, item)
        elif isinstance(item, Reply) and 300 <= item.code < 400:
            raise _Failed(f"returned {item.code}: a hook accepts with 2xx or refuses with 4xx or 5xx")
    return answer


def _check_tag(call: Call, tag: Tag) -> None:
    if not isinstance(tag.name, str) or tag.name not in call.tags:
        raise _Failed(f"tag {tag.name!r} was not declared at register()")
    if not isinstance(tag.value, (str, int, bool)):
        raise _Failed(f"tag {tag.name!r}: a value is str, int or bool, not {type(tag.value).__name__}")


def _describe(answer: Any) -> Any:
    items = answer if isinstance(answer, list) else [answer]
    return [f"{i.name}={_text(i.value)}" if isinstance(i, Tag) else _text(i) for i in items[:20]]


def _milliseconds(call: Call, started: float) -> float:
    """How long the call took; it is counted here."""
    took = time.perf_counter() - started
    call.made += 1
    call.seconds += took
    return round(took * 1000, 3)
