"""Tag lists as DKIM and DMARC write them: `v=DKIM1; p=...` (RFC 6376 3.2). Reading only; nothing is judged."""

from __future__ import annotations

import re

_TAG = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z", re.DOTALL)


class TagError(ValueError):
    """The text is no tag list; the words say where it breaks."""


def read_tags(text: str) -> dict[str, str]:
    """Names in lower case and their values, in the order of the text. Raises `TagError`."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        match = _TAG.match(part)
        if match is None:
            raise TagError(f"'{part.strip()[:60]}' is no tag")
        name = match[1].lower()
        if name in tags:
            raise TagError(f"the tag {name}= stands there twice")
        tags[name] = match[2]
    return tags
