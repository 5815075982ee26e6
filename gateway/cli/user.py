"""`stellwerk user`: people, their passwords, and leaving."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from gateway.cli import bulk
from gateway.cli.directory_options import Desk, Office, changing, given, place_options, reading

_ROLES = click.Choice(["member", "context_admin", "organisation_admin", "operator"])
_LANGUAGES = click.Choice(["en", "de"])
_END_APP_PASSWORDS = click.option(
    "--end-app-passwords", is_flag=True, help="End the app passwords in the same change; else they stay valid."
)


@click.group()
def user() -> None:
    """People: who may log in, what they may do, and what happens when they leave."""


@user.command()
@changing
@click.argument("address")
@place_options
@click.option("--name", default="", metavar="TEXT", help="As it stands in From.")
@click.option("--role", type=_ROLES, default="member", show_default=True)
@click.option("--language", type=_LANGUAGES, default="en", show_default=True, help="Of notices.")
@click.option("--phone", default="", metavar="TEXT")
@click.option("--extension", default="", metavar="DIGITS", help="At most four digits, nobody else's in the context.")
@click.option("--mailbox", is_flag=True, help="Add their personal mailbox of the same address too.")
def add(desk: Desk, address: str, organisation: str, context: str, mailbox: bool, **values: Any) -> None:
    """Add a person, who logs in with ADDRESS once they have a password: stellwerk user password ADDRESS."""
    from gateway.directory.change import Command, Together
    from gateway.directory.mailboxes import AddMailbox
    from gateway.directory.people import AddPerson

    async def make(office: Office) -> Together:
        place = await office.context(context, organisation, address)
        commands: list[Command[Any]] = [AddPerson(address, place.organisation, place.context, **values)]
        if mailbox:
            commands.append(AddMailbox(address, place.organisation, place.context, owner=address))
        return Together(tuple(commands))

    desk.change(make)


@user.command("list")
@reading
@place_options
@click.option("--state", type=click.Choice(["active", "inactive"]), default=None, help="Only those.")
def list_(desk: Desk, organisation: str, context: str, state: str | None) -> None:
    """List people."""
    from gateway.directory import listing

    async def work(office: Office) -> list[listing.Listed]:
        place = await office.place(organisation, context)
        return await listing.people(office.store, office.actor, place, state or "")

    desk.show(desk.run(work), "address", "name", "organisation", "context", "role", "extension", "state")


@user.command()
@reading
@click.argument("address")
def show(desk: Desk, address: str) -> None:
    """Show a person with mailboxes, memberships and app passwords."""
    from gateway.directory import listing

    desk.show_one(desk.run(lambda office: listing.person_of(office.store, office.actor, address)))


@user.command()
@changing
@click.argument("address")
@click.option("--name", metavar="TEXT")
@click.option("--role", type=_ROLES)
@click.option("--language", type=_LANGUAGES)
@click.option("--phone", metavar="TEXT")
@click.option("--extension", metavar="DIGITS", help='At most four digits; "" for none.')
@click.option("--deputy", metavar="USER", help='Who gets their mail once they have left; "none" for nobody.')
@click.option("--context", metavar="NAME", help="Move them there, with the personal mailboxes they own.")
def change(desk: Desk, address: str, deputy: str | None, context: str | None, **values: str | None) -> None:
    """Change a person, all that is named or nothing."""
    from gateway.directory.change import Command, Together
    from gateway.directory.leaving import SetDeputy
    from gateway.directory.people import ChangePerson, MovePerson

    commands: list[Command[Any]] = []
    if asked := given(**values):
        commands.append(ChangePerson(address, asked))
    if deputy is not None:
        commands.append(SetDeputy(address, "" if deputy == "none" else deputy))
    if context is not None:
        commands.append(MovePerson(address, context.rpartition("/")[2]))
    if not commands:
        raise click.UsageError("name something to change; stellwerk user show ADDRESS shows what there is")
    desk.carry_out(Together(tuple(commands)))


@user.command()
@changing
@click.argument("address")
@click.option("--generate", is_flag=True, help="Make one, and show it once.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from standard input, one line.")
@_END_APP_PASSWORDS
def password(desk: Desk, address: str, generate: bool, from_stdin: bool, end_app_passwords: bool) -> None:
    """Set a password. The one before is dead at once, and so is every session. Asks twice on a terminal.

    App passwords stay valid, unless --end-app-passwords is said.
    """
    from gateway.directory import generated
    from gateway.directory.passwords import hash_password
    from gateway.directory.people import SetPassword

    if generate and from_stdin:
        raise click.UsageError("--generate and --stdin contradict each other")
    text = generated.new_password() if generate else generated.chosen_password(_typed(from_stdin))
    made = text if generate and not desk.dry_run else ""
    kept = desk.carry_out(
        SetPassword(address, hash_password(text), end_app_passwords),
        lambda number: {"app_passwords": number, **({"password": made} if made else {})},
    )
    _tell_kept(desk, address, kept)
    if made:
        _show_once(desk, made)


def _tell_kept(desk: Desk, address: str, app_passwords: int) -> None:
    """That a new password ends no app password, and what does."""
    if not app_passwords or desk.as_json:
        return
    what, stay = ("1 app password", "stays") if app_passwords == 1 else (f"{app_passwords} app passwords", "stay")
    if desk.dry_run:
        stay = "would stay"
    end = f"stellwerk user app-password end {shlex.quote(address)} --all"
    click.echo(f"{what} {stay} valid; to end {'it' if app_passwords == 1 else 'them'}: {end}")


def _typed(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; say --generate or --stdin")
    text: str = click.prompt("password", hide_input=True, confirmation_prompt="once more")
    return text


def _show_once(desk: Desk, text: str) -> None:
    """After the changes, in the last line; with --json it stands in there."""
    if not desk.as_json:
        click.echo(f"password (shown only now): {text}")


@user.group("app-password")
def app_password() -> None:
    """Further passwords, each for one program or device."""


@app_password.command("add")
@changing
@click.argument("address")
@click.argument("label")
def add_app_password(desk: Desk, address: str, label: str) -> None:
    """Make one and show it once. LABEL says what it is for: "phone"."""
    from gateway.directory.generated import new_password
    from gateway.directory.passwords import hash_password
    from gateway.directory.people import AddAppPassword

    text = new_password()
    made = "" if desk.dry_run else text
    desk.carry_out(AddAppPassword(address, label, hash_password(text)), lambda _: {"password": made} if made else {})
    if made:
        _show_once(desk, made)


@app_password.command("list")
@reading
@click.argument("address")
def list_app_passwords(desk: Desk, address: str) -> None:
    """List a person's app passwords, ended ones too."""
    from gateway.directory import listing

    rows = desk.run(lambda office: listing.app_passwords(office.store, office.actor, address))
    desk.show(rows, "id", "label", "created_at", "ended_at")


@app_password.command("end")
@changing
@click.argument("address")
@click.argument("app_password_id", metavar="ID", default="")
@click.option("--all", "every", is_flag=True, help="All of them, in place of ID.")
def end_app_password(desk: Desk, address: str, app_password_id: str, every: bool) -> None:
    """End an app password, and every session of the person: nobody knows with which one they logged in."""
    from gateway.directory.people import EndAppPassword, EndAppPasswords

    if every == bool(app_password_id):
        raise click.UsageError("say an ID (stellwerk user app-password list ADDRESS), or --all")
    if every:
        desk.carry_out(EndAppPasswords(address))
    else:
        desk.carry_out(EndAppPassword(address, app_password_id))


@user.command("send-credentials")
@changing
@click.argument("address")
@click.option("--to", required=True, metavar="OTHER", help="An address that they can read already.")
@click.option("--with-new-password", is_flag=True, help="Make a new password, set it, and put it into the mail.")
@_END_APP_PASSWORDS
def send_credentials(desk: Desk, address: str, to: str, with_new_password: bool, end_app_passwords: bool) -> None:
    """Mail the settings for mail programs to OTHER: servers and ports of [client_setup], and the user name.

    A password in a mail stays readable for whoever can read that mailbox: hand it over another way if you can.
    """
    from gateway.directory.credentials_mail import NewPassword, SendCredentials
    from gateway.directory.generated import new_password
    from gateway.directory.passwords import hash_password

    if end_app_passwords and not with_new_password:
        raise click.UsageError(
            "--end-app-passwords goes with --with-new-password; alone: stellwerk user app-password end ADDRESS --all"
        )
    made = None
    if with_new_password:
        text = new_password()
        made = NewPassword(text, hash_password(text))

    async def make(office: Office) -> SendCredentials:
        config = office.config
        setup, hostname = config.client_setup, config.server.hostname
        return SendCredentials(address, to, setup, hostname, made, end_app_passwords)

    sent = desk.change(make, lambda sent: {"app_passwords": sent.app_passwords} if with_new_password else {})
    _tell_kept(desk, address, sent.app_passwords or 0)


@user.command()
@changing
@click.argument("address")
@click.option("--deputy", default="", metavar="USER", help="Who gets their mail from now on.")
def deactivate(desk: Desk, address: str, deputy: str) -> None:
    """Let somebody leave: password, app passwords and sessions are dead at once, memberships end, history stays."""
    from gateway.directory.leaving import DeactivatePerson

    desk.carry_out(DeactivatePerson(address, deputy))
    if not desk.as_json and not desk.dry_run:
        click.echo(f"what still names them: stellwerk directory audit --person {address}")


@user.command()
@changing
@click.argument("address")
def activate(desk: Desk, address: str) -> None:
    """Take somebody back, without a password and without their former memberships."""
    from gateway.directory.leaving import ActivatePerson

    desk.carry_out(ActivatePerson(address))


user.add_command(bulk.import_people)
user.add_command(bulk.export_people)
