"""A message as it follows DATA: dots stuffed, ended by CRLF.CRLF, and free of what could end it early.

Pure byte work. Nothing here repairs content: what must not go out is refused.
"""

from __future__ import annotations

_CR = 0x0D
_LF = 0x0A
_DOT = 0x2E


class UnsafeContent(Exception):
    """The message holds a bare CR, a bare LF or a NUL: some next hop would see the end of data there."""


class DataEncoder:
    """Makes wire bytes of a message given in pieces of any size (RFC 5321 4.5.2).

    Call `piece` for each piece, then `end` once. Both raise `UnsafeContent`, before returning any of the bytes that are
    wrong; a CR at the very end of a piece is judged with the next one.
    """

    __slots__ = ("_after_cr", "_line_start")

    def __init__(self) -> None:
        self._line_start = True
        self._after_cr = False

    def piece(self, data: bytes) -> bytes:
        if not data:
            return data
        first, last = data[0], data[-1]
        pairs = data.count(b"\r\n")
        begins_with_lf = self._after_cr and first == _LF
        ends_with_cr = last == _CR
        if (
            (self._after_cr and not begins_with_lf)
            or data.count(b"\n") != pairs + begins_with_lf
            or data.count(b"\r") != pairs + ends_with_cr
            or b"\0" in data
        ):
            raise UnsafeContent("bare CR, bare LF or NUL")
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if self._line_start and first == _DOT:
            stuffed = b"." + stuffed
        elif begins_with_lf and data[1:2] == b".":
            stuffed = b"\n.." + stuffed[2:]
        self._line_start = last == _LF
        self._after_cr = ends_with_cr
        return stuffed

    def end(self) -> bytes:
        """What ends the data; a last line without CRLF gets one."""
        if self._after_cr:
            raise UnsafeContent("bare CR at the end")
        return b".\r\n" if self._line_start else b"\r\n.\r\n"
