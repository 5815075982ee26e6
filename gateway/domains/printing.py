"""The hand-out as an HTML page that needs nothing else, and as a text mail. In English and German.

Whatever DNS said is escaped on the page, and was made printable where it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jinja2

from gateway.domains.handout import Handout
from gateway.domains.names import shown
from gateway.domains.wording import english, german

_WORDS: Mapping[str, Mapping[str, str]] = {"en": english.WORDS, "de": german.WORDS}


def html_page(made: Handout) -> str:
    """A whole document: no script, nothing loaded from anywhere, fit for paper."""
    return _environment(True).get_template("invite.html.j2").render(_values(made))


def text_mail(made: Handout) -> str:
    """Subject in the first line, an empty line, the text."""
    return _environment(False).get_template("invite.txt.j2").render(_values(made)).strip() + "\n"


def _values(made: Handout) -> dict[str, Any]:
    words = _WORDS[made.language]
    facts = {
        "domain": shown(made.domain),
        "organisation": made.organisation,
        "gateway": made.gateway,
        "zone": made.zone,
        "at": _date(made.at),
    }

    def say(key: str, **more: Any) -> str:
        return words[key].format_map({**facts, **more})

    return {"made": made, "say": say, "date": _date}


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


@cache
def _environment(escapes: bool) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.domains"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=escapes,  # noqa: S701  off for the text mail, which is not HTML
    )
