"""The command `stellwerk`: a table of commands, each in a module of its own that is imported when it is called.

Nothing here imports more than click, so that `stellwerk --help` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NamedTuple

import click

from gateway import __version__
from gateway.errors import StellwerkError


class _Entry(NamedTuple):
    target: str
    help: str


COMMANDS: dict[str, _Entry] = {
    "serve": _Entry("gateway.cli.serve:serve", "Run the gateway."),
    "send": _Entry("gateway.cli.send:send", "Send a message file through the running gateway and show its trace."),
    "explain": _Entry("gateway.cli.explain:explain", "Show what would happen to a message; nothing happens."),
    "trace": _Entry("gateway.cli.trace:trace", "Show what happened to a message."),
    "jobs": _Entry("gateway.cli.jobs:jobs", "List jobs of the outbox: due, failed, dead; retry or drop one."),
    "held": _Entry("gateway.cli.held:held", "Mail that a rule holds for a decision: release or discard it."),
    "plugins": _Entry("gateway.cli.plugins:plugins", "Show every hook's chain of plugins; make and check one."),
    "organisation": _Entry("gateway.cli.organisation:organisation", "Organisations and what their plans allow."),
    "context": _Entry("gateway.cli.context:context", "Departments or sites, who sees whom, plugins for each."),
    "domain": _Entry("gateway.cli.domain:domain", "Domains of organisations: claim, records, check, trust."),
    "user": _Entry("gateway.cli.user:user", "People: roles, passwords, leaving, import and export."),
    "mailbox": _Entry("gateway.cli.mailbox:mailbox", "Mailboxes and their settings, import and export."),
    "member": _Entry("gateway.cli.member:member", "Who may use a mailbox, now and at any time before."),
    "alias": _Entry("gateway.cli.alias:alias", "Further addresses of mailboxes."),
    "directory": _Entry("gateway.cli.directory:directory", "What still names people who left; who changed what."),
    "addressbook": _Entry("gateway.cli.addressbook:addressbook", "Export a context's address book."),
    "person": _Entry("gateway.cli.person:person", "Export or erase what is stored about a person."),
    "config": _Entry("gateway.cli.config:config", "Check the configuration, or describe every setting."),
    "demo": _Entry("gateway.cli.demo.command:demo", "Show a throw-away gateway at work, in under a minute."),
    "db": _Entry("gateway.cli.db:db", "Migrate the database, or show its revisions."),
    "backup": _Entry("gateway.cli.backup:backup", "Write a backup of database and secret while mail flows."),
    "restore": _Entry("gateway.cli.backup:restore", "Check a backup, or put it back."),
    "doctor": _Entry("gateway.cli.doctor:doctor", "Check the whole installation."),
    "postfix": _Entry("gateway.cli.postfix:postfix", "Print tested Postfix configuration; write maps for Postfix."),
    "dovecot": _Entry(
        "gateway.cli.dovecot:dovecot", "Print tested Dovecot configuration: one password for IMAP and SMTP."
    ),
}


class _LazyCommands(click.Group):
    """Commands from `COMMANDS`, imported by name; the overview is printed from the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.command(
    cls=_LazyCommands,
    epilog="Exit status: 0 good, 1 a check failed, 2 wrong usage or configuration.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="stellwerk")
def stellwerk() -> None:
    """Stellwerk, a mail gateway that stands beside Postfix."""


def main() -> None:
    """The console script. An expected failure is its text on standard error and its exit status, never a traceback."""
    try:
        stellwerk()
    except StellwerkError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_status)
    except OSError as error:  # standard output on a full disk, a closed pipe
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"stellwerk: {where}{error.strerror or error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
