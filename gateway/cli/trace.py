"""`stellwerk trace`: what happened to a message. Exit status 1 when there is no such story."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table, printable

if TYPE_CHECKING:
    from gateway.config.models import Config
    from gateway.trace import Search

Story = dict[str, Any]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command()
@config_option
@json_option
@click.option("--last", "count", type=click.IntRange(1, 10_000), help="The newest N stories (20), newest first.")
@click.option("--to", default="", help="Only to addresses that contain this, refused ones too.")
@click.option("--from", "sender", default="", help="Only from addresses that contain this.")
@click.option("--queue-id", default="", help="Only mail that had this queue id at the Postfix in front.")
@click.option("--since", default="", metavar="AGE", help="Only of the last 30m, 2h, 3d.")
@click.argument("transaction_id", required=False)
def trace(
    config_path: Path,
    as_json: bool,
    count: int | None,
    to: str,
    sender: str,
    queue_id: str,
    since: str,
    transaction_id: str | None,
) -> None:
    """Show one transaction's story, or find stories. TRANSACTION_ID stands in brackets in every reply and log line."""
    finds = count is not None or any((to, sender, queue_id, since))
    if finds == (transaction_id is not None):
        raise click.UsageError("name a transaction id, or say --last N, --to, --from, --queue-id or --since")
    config = read_config(config_path)
    if transaction_id is not None:
        story = asyncio.run(load_story(config, transaction_id.strip("[]").lower()))
        if story is None:
            _none(transaction_id, config)
        elif as_json:
            print_json(story)
        else:
            show(story)
        return
    from gateway.trace import Search

    search = Search(to, sender, queue_id, time.time() - _seconds(since) if since else 0.0)
    stories = asyncio.run(_latest(config, count or 20, search))
    if as_json:
        print_json(stories)
        return
    rows = [
        (_time(story), story["id"], story["session"]["listener"], story["sender"] or "<>", _to(story), _outcome(story))
        for story in stories
    ]
    print_table(("time", "id", "listener", "from", "to", "reply"), rows)


async def load_story(config: Config, transaction_id: str) -> Story | None:
    """The story of one transaction, with the journal's view of its steps as `journal`."""
    from gateway.delivery.journal import steps_of
    from gateway.trace import find

    store = _open(config)
    try:
        story = await find(store, transaction_id)
        if story is not None:
            entries = sorted({step["entry"] for step in story["steps"] if step["entry"]})
            told = {step["recipient"] for step in story["steps"]}
            story["journal"] = [row for row in await steps_of(store, entries) if row["recipient"] in told]
        return story
    finally:
        await asyncio.to_thread(store.close)


async def _latest(config: Config, count: int, search: Search) -> list[Story]:
    from gateway.trace import latest

    store = _open(config)
    try:
        return await latest(store, count, search)
    finally:
        await asyncio.to_thread(store.close)


def _open(config: Config) -> Any:
    from gateway.store.store import Store

    return Store.open(config.store.url, read_only=True, busy_timeout_seconds=config.store.busy_timeout_seconds)


def show(story: Story) -> None:
    """The story for a person, a fact a line."""
    for line in lines(story):
        click.echo(printable(line))


def lines(story: Story) -> list[str]:
    """What `show` prints."""
    session = story["session"]
    names = (session.get("client", "unknown"), session.get("client_name", ""), f"helo={session.get('helo', '')}")
    client = " ".join(name for name in names if name)
    behind = f", {session['ident']} at {session['peer']}" if session.get("forwarded") else ""
    found = [
        f"{story['id']}  {_time(story)}  {session['listener']} ({session['protocol']}, {session['direction']})",
        f"  client   {client}{behind}",
        f"  from     <{story['sender']}>  {story['size']} octets",
    ]
    found += [f"  to       {recipient}" for recipient in story["recipients"]]
    found += [f"  tag      {name} = {value}" for name, value in story["tags"].items()]
    for event in story["events"]:
        found += _event(event)
    found += _ways(story.get("plan"))
    found += [_step(step) for step in story["steps"]]
    found += [_journal(row) for row in story.get("journal", [])]
    found.append(f"  reply    {_outcome(story)}  after {story['milliseconds']} ms")
    return found


def _event(event: dict[str, Any]) -> list[str]:
    if "hook" not in event:
        facts = ", ".join(f"{key} {value}" for key, value in event.items() if key not in {"event", "hooks"})
        nested = [line for hook in event.get("hooks", []) for line in _event(hook)]
        return [f"  {event['event']:<8} {facts}", *nested]
    what = f"failed ({event['on_error']}): {event['error']}" if "error" in event else "; ".join(event.get("answer", []))
    shadow = " (shadow: not applied)" if event.get("shadow") else ""
    return [f"  plugin   {event['plugin']}.{event['hook']}  {event.get('ms', 0)} ms  {what or '-'}{shadow}"]


def _ways(plan: dict[str, Any] | None) -> list[str]:
    """Who sent a recipient on, by which rule and why; nothing for a copy that goes where it was addressed."""
    found = []
    recipients = plan["recipients"] if plan else []
    for planned in (step for recipient in recipients for step in recipient["steps"]):
        stations = planned["descent"]
        if len(stations) > 1:
            way = "".join(f"{each['address']}: {_station(each)} -> " for each in stations[:-1])
            found.append(f"  way      {way}{stations[-1]['address']}")
    return found


def _station(station: dict[str, Any]) -> str:
    reason = f" ({station['reason']})" if station["reason"] else ""
    return f"{station['plugin']} {station['rule']!r}{reason}"


def _step(step: dict[str, Any]) -> str:
    where = f"  {step['where']}" if step["where"] else ""
    via = f" via {step['via']}" if step["via"] else ""
    kept = "" if step["ran"] else "  (from the journal)"
    return f"  step     {step['recipient']} -> {step['to'] or '-'}{via}: {step['state']}  {step['reply']}{where}{kept}"


def _journal(row: dict[str, Any]) -> str:
    doubts = f", {row['doubts']} attempt(s) of unknown outcome" if row["doubts"] else ""
    closed = "closed" if row["closed"] else "open for a retry (whether the client saw the reply is not known)"
    return f"  journal  {row['recipient']} -> {row['final'] or '-'}: {row['state']}, {closed}{doubts}"


def _none(transaction_id: str, config: Config) -> None:
    if "-" in transaction_id:
        click.echo(
            f"{transaction_id} is the id of a connection: what is refused outside a transaction has no story. The log "
            "has it, as id= of `command refused` and `session ended` and as session= of the connection's messages; "
            f"under systemd: journalctl -u stellwerk | grep {transaction_id.strip('[]')}",
            err=True,
        )
        sys.exit(1)
    days = config.trace.retention_days
    click.echo(
        f"no story under {transaction_id}. Stories are kept for {days:g} days and appear within two "
        "seconds; `stellwerk trace --last 10` shows the newest",
        err=True,
    )
    sys.exit(1)


def _time(story: Story) -> str:
    return datetime.fromtimestamp(story["at"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _to(story: Story) -> str:
    recipients = story["recipients"]
    return recipients[0] + (f" +{len(recipients) - 1}" if len(recipients) > 1 else "") if recipients else "-"


def _outcome(story: Story) -> str:
    return str(story.get("outcome") or _reply(story))


def _seconds(age: str) -> float:
    """`30m` as seconds; a bare number is minutes."""
    number, unit = (age[:-1], age[-1]) if age[-1:].isalpha() else (age, "m")
    if not (number.isascii() and number.isdecimal()) or unit not in _UNITS:
        raise click.BadParameter(f"{age!r}: expected a number with s, m, h or d, like 30m", param_hint="--since")
    return float(number) * _UNITS[unit]


def _reply(story: Story) -> str:
    reply = story["reply"]
    if reply is None:
        return "abandoned before the end of data"
    return f"{reply['code']} {reply['enhanced']} {reply['text']}"
