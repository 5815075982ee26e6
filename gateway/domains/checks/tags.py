"""Tag lists as DKIM and DMARC write them: `v=DKIM1; p=...` (RFC 6376 3.2). Reading only; nothing is judged."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class TagError(ValueError):
    """The text is no tag list; the words say where it breaks."""


def read_tags(text: str) -> dict[str, str]:
    """Names in lower case and their values, in the order of the text. Raises `TagError`."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        before, equals, value = part.partition("=")
        name = before.strip()
        if not equals or not _NAME.match(name):
            raise TagError(f"'{part.strip()[:60]}' is no tag")
        if name.lower() in tags:
            raise TagError(f"the tag {name.lower()[:20]}= stands there twice")
        tags[name.lower()] = value.strip()
    return tags
