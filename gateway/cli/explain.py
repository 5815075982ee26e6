"""`stellwerk explain`: what would happen to a message. Exit status 0 taken, 1 refused or deferred, 2 wrong usage."""

from __future__ import annotations

import asyncio
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.message_file import wire_bytes
from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, printable

if TYPE_CHECKING:
    from gateway.explain import Explanation
    from gateway.routing.plan import PlannedStep


def _check_address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        raise click.BadParameter(f'found "{value}"; expected an IP address, for example 192.0.2.7') from None
    return value


@click.command()
@config_option
@json_option
@click.option("--from", "sender", default="", help="Envelope sender; empty is the null sender <>.")
@click.option("--to", "recipients", multiple=True, required=True, help="Envelope recipient; may be repeated.")
@click.option(
    "--listener",
    default="",
    help="Name of the listener it comes in by; default: the first, with --login the first for submission.",
)
@click.option(
    "--client", default="127.0.0.1", show_default=True, callback=_check_address, help="IP address of the client."
)
@click.option("--helo", default="localhost", show_default=True, help="What the client says at EHLO.")
@click.option("--login", default="", help="Address of who has logged in; for a submission listener.")
@click.argument("file", type=click.File("rb"))
def explain(
    config_path: Path,
    as_json: bool,
    sender: str,
    recipients: tuple[str, ...],
    listener: str,
    client: str,
    helo: str,
    login: str,
    file: Any,
) -> None:
    """Show what would happen to the message in FILE (- is standard input): the same chain, and nothing happens."""
    from gateway.app import Gateway
    from gateway.explain import Question
    from gateway.explain import explain as ask

    config = read_config(config_path)
    question = Question(
        sender.strip("<>") or None,
        [recipient.strip("<>") for recipient in recipients],
        wire_bytes(file.read()),
        listener,
        client,
        helo,
        login,
    )

    async def run() -> Explanation:
        gateway = Gateway(config, role="cli", source=str(config_path))
        try:
            return await ask(gateway, question)
        finally:
            await gateway.stop()

    told = asyncio.run(run())
    if as_json:
        print_json(told.to_json())
    else:
        for line in lines(told):
            click.echo(line)
    sys.exit(0 if told.reply.is_accept and not told.refused else 1)


def lines(told: Explanation) -> list[str]:
    """The explanation for a person, a fact a line."""
    found = [_row(recipient, f"refused at RCPT: {reply}") for recipient, reply in told.refused.items()]
    if told.plan is not None:
        found += [
            _row(str(recipient.original.address), _way(planned))
            for recipient in told.plan.recipients
            for planned in recipient.steps
        ]
        found += _effects(told)
    for event in told.events:
        found += _event(event)
    return [*found, _row("reply", str(told.reply))]


def _effects(told: Explanation) -> list[str]:
    from gateway.explain import changed_bytes

    plan = told.plan
    assert plan is not None
    edits = plan.edits
    found = [_row("header", f"+ {line}") for line in edits.prepend]
    own = {step.edits for recipient in plan.recipients for step in recipient.deliveries} - {edits}
    some = dict.fromkeys(line for each in own for line in each.prepend if line not in edits.prepend)
    found += [_row("header", f"+ {line}  (some copies)") for line in some]
    found.append(_row("DKIM", changed_bytes(edits)))
    found += [_row("record", f"{record.table or record.function} {dict(record.row)}") for record in plan.records]
    return found + [_row("job", f"{job.owner}.{job.kind} {job.key}") for job in plan.jobs]


def _way(planned: PlannedStep) -> str:
    from gateway.routing.plan import DeliverStep

    step = planned.step
    last = len(planned.descent) - 1
    stations = [s for index, s in enumerate(planned.descent) if index < last or s.plugin != "core"]
    way = "".join(f"{s.plugin} {s.rule!r}{f' ({s.reason})' if s.reason else ''} -> " for s in stations)
    if isinstance(step, DeliverStep):
        return f"{way}{step.to} via {step.via}"
    return f"{way}{type(step).__name__.lower()}: {step.reason or getattr(step, 'reply', '')}"


def _event(event: dict[str, Any]) -> list[str]:
    if "hook" not in event:
        return [_row("note", ", ".join(f"{key} {value}" for key, value in event.items() if key != "hooks"))]
    if "error" in event:
        return [_row("plugin", f"{event['plugin']} failed in {event['hook']} ({event['on_error']}): {event['error']}")]
    if "answer" not in event:
        return []
    shadow = " (shadow: not applied)" if event.get("shadow") else ""
    return [_row("plugin", f"{event['plugin']}.{event['hook']}: {'; '.join(event['answer'])}{shadow}")]


def _row(label: str, text: str) -> str:
    return f"{printable(label):<28}{printable(text)}"
