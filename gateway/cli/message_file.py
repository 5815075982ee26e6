"""A message file as a mail client would send it: the same bytes for `send` and for `explain`."""

from __future__ import annotations


def wire_bytes(content: bytes) -> bytes:
    """Files have LF line ends, the wire has CRLF; the last line is ended when the file forgot to."""
    content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"
