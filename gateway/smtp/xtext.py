"""xtext (RFC 3461 4): how SMTP parameters carry octets that could not stand there themselves."""

from __future__ import annotations

import re

XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"  # one encoded octet
_ESCAPE = re.compile(rb"\+([0-9A-Fa-f]{2})")


def decode_xtext(text: str) -> str:
    """The characters behind `text`; octets that are no UTF-8 become U+FFFD, malformed escapes stay as they are."""
    if "+" not in text:
        return text
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), text.encode()).decode("utf-8", "replace")
