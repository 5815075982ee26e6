"""What `stellwerk domain invite` writes: gathered here, made by gateway/domains/handout.py and printing.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import print_json

if TYPE_CHECKING:
    from gateway.cli.directory_options import Office
    from gateway.domains.checks.texts import Language
    from gateway.domains.handout import Handout


async def handout_of(office: Office, name: str, organisation: str, zone: str, language: Language) -> Handout:
    """DNS is asked for everything, also for the zone unless that is named."""
    from gateway.cli.domain_check import check_once
    from gateway.cli.domain_records import wanted_here
    from gateway.domains.handout import handout
    from gateway.domains.inspection import zone_of
    from gateway.domains.probing import Probing

    seen = await check_once(office, name, organisation)
    domain = seen.shown.row.name
    found = zone or await zone_of(domain, Probing.of(office.config.dns))
    asked = await wanted_here(
        office, name, seen.shown.organisation, zone=found or domain, spf="", resolve=True
    )  # fmt: skip
    return handout(
        seen, asked.records, gateway=office.config.gateway_name, zone=asked.zone, zone_known=bool(found),
        language=language,
    )  # fmt: skip


def write_handout(made: Handout, html: Path | None, text: Path | None, *, as_json: bool) -> None:
    """Into the files that were named; the text to standard output when none was."""
    from gateway.domains.printing import html_page, text_mail

    if html is not None:
        html.write_text(html_page(made), encoding="utf-8")
    if text is not None:
        text.write_text(text_mail(made), encoding="utf-8")
    if as_json:
        print_json(made.as_json())
    elif html is None and text is None:
        click.echo(text_mail(made), nl=False)
    else:
        for file in (html, text):
            if file is not None:
                click.echo(f"wrote {file}")
