"""Message data as it stands on the wire after DATA and BDAT: its end, dots, stray octets. No limits, no storage."""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_DOT = b"\r\n."
# What plain lines do not hold: a CR without its LF or with a dot behind that, and an LF without its CR. Each begins
# with one literal octet, which the regex engine looks for by memchr: 8 ms for 10 MB where finding the dots and counting
# CR, LF and CR LF takes 23. The first also matches where only the next octet would tell.
_CR_OF_NO_PLAIN_LINE = re.compile(rb"\r(?!\n[^.])").search
_LF_OF_NO_LINE = re.compile(rb"\n(?<!\r\n)").search
_CR_OF_NO_LINE = re.compile(rb"\r(?!\n)").search


class MessageDecoder:
    """What the data of DATA and of BDAT have in common: lines, and octets that stand outside of line ends.

    Bare CR and LF and NUL are counted, and with `normalise` replaced.
    """

    __slots__ = (
        "_carry",
        "_column",
        "_normalise",
        "_reach",
        "ended",
        "is_plain",
        "line_too_long",
        "rest",
        "stray_cr",
        "stray_lf",
        "stray_nul",
    )

    def __init__(self, *, normalise: bool, max_line_bytes: int = 0) -> None:
        self._normalise = normalise
        self._reach = max_line_bytes + 2 if max_line_bytes else 0
        self._column = 0
        self._carry = b""
        self.ended = False
        self.rest = b""
        """What came behind the end of the data: the next commands."""
        self.is_plain = True
        """See `Body.is_plain`. Holds for the message once `ended`."""
        self.stray_cr = self.stray_lf = self.stray_nul = 0
        self.line_too_long = False
        """A line had more than `max_line_bytes` octets, its line end not counted."""

    @property
    def has_strays(self) -> bool:
        return bool(self.stray_cr or self.stray_lf or self.stray_nul)

    def feed(self, block: bytes) -> bytes:
        """The message octets that `block` settles. Sets `ended` and `rest` where the data tells its own end."""
        raise NotImplementedError

    def finish(self) -> bytes:
        """The octets that waited for more, when the end was told by something else than the data."""
        raise NotImplementedError

    def _inspected(self, content: bytes, *, has_stray_cr: bool = False) -> bytes:
        """A piece of the message, which never ends between a CR and its LF, as it is to be kept."""
        if self._reach:
            self._measure(content)
        if has_stray_cr or _LF_OF_NO_LINE(content) or b"\0" in content:
            self.is_plain = False
            pairs = content.count(b"\r\n")
            self.stray_cr += content.count(b"\r") - pairs
            self.stray_lf += content.count(b"\n") - pairs
            self.stray_nul += content.count(b"\0")
            if self._normalise:
                return _normalised(content)
        return content

    def _measure(self, content: bytes) -> None:
        start = -self._column  # of the line that runs on from the piece before
        while len(content) - start >= self._reach:  # the longest stride from line end to line end
            feed = content.rfind(b"\n", max(start, 0), start + self._reach)
            if feed < 0:
                self.line_too_long = True
                self._reach = 0
                return
            start = feed + 1
        self._column = len(content) - (content.rfind(b"\n", max(start, 0)) + 1 or start)


class DataDecoder(MessageDecoder):
    """Turns blocks of the wire behind DATA into the octets of the message, wherever the blocks were cut.

    The data ends at CR LF . CR LF and at nothing else (RFC 5321 4.1.1.4): every other reading of a lone dot lets one
    server see two messages where another saw one.
    """

    __slots__ = ("_opening",)

    def __init__(self, *, normalise: bool, max_line_bytes: int = 0) -> None:
        super().__init__(normalise=normalise, max_line_bytes=max_line_bytes)
        # The CR LF of the DATA command: a dot right behind it stands at the beginning of a line.
        self._carry = b"\r\n"
        self._opening = True

    def feed(self, block: bytes) -> bytes:
        """The message octets that `block` settles. Sets `ended` and `rest` at the end of the data."""
        data = self._carry + block if self._carry else block
        found = _CR_OF_NO_PLAIN_LINE(data)
        spot = len(data) if found is None else found.start()
        if data.startswith(_END, spot):
            self._end(data, spot)
            cut = spot + 2
        elif _END.startswith(data[spot : spot + len(_END)]):
            self._carry = data[spot:]
            cut = spot
        else:
            return self._unplain(data)
        return self._inspected(data[self._opened(cut) : cut])

    def _end(self, data: bytes, position: int) -> None:
        self.ended = True
        self.rest = data[position + len(_END) :]

    def _opened(self, cut: int) -> int:
        """Where the message begins in the octets up to `cut`: behind the line end of the DATA command."""
        if self._opening and cut:
            self._opening = False
            return 2
        return 0

    def _unplain(self, data: bytes) -> bytes:
        """As `feed`, for what holds a bare CR or a dot that was put in front of a line."""
        end = data.find(_END)
        if end >= 0:
            self._end(data, end)
            cut = end + 2
        else:
            cut = len(data) - _held_back(data)
            self._carry = data[cut:]
        start = self._opened(cut)
        self.is_plain = False
        # RFC 5321 4.5.2: a dot at the beginning of a line was put there by the client.
        content = data[:cut].replace(_DOT, b"\r\n")[start:]
        return self._inspected(content, has_stray_cr=_CR_OF_NO_LINE(content) is not None)


class ChunkDecoder(MessageDecoder):
    """Takes the octets of BDAT (RFC 3030) as they are: a dot is a dot, and whoever counts the octets knows the end.

    A chunk may end anywhere, between a CR and its LF as well: chunks are fed like blocks of the wire.
    """

    __slots__ = ("_at_line_start",)

    def __init__(self, *, normalise: bool, max_line_bytes: int = 0) -> None:
        super().__init__(normalise=normalise, max_line_bytes=max_line_bytes)
        self._at_line_start = True

    def feed(self, block: bytes) -> bytes:
        data = self._carry + block if self._carry else block
        if data.endswith(b"\r"):
            self._carry = b"\r"
            return self._taken(data[:-1])
        self._carry = b""
        return self._taken(data)

    def finish(self) -> bytes:
        """A CR at the very end of the message, if there is one."""
        self.ended = True
        content = self._taken(self._carry)
        self.is_plain = self.is_plain and self._at_line_start
        return content

    def _taken(self, content: bytes) -> bytes:
        if not content:
            return content
        if self._at_line_start and content.startswith(b"."):
            self.is_plain = False
        self._at_line_start = content.endswith(b"\r\n")
        found = _CR_OF_NO_PLAIN_LINE(content)
        if found is None or (self._at_line_start and found.start() == len(content) - 2):
            return self._inspected(content)
        self.is_plain = False
        return self._inspected(content, has_stray_cr=_CR_OF_NO_LINE(content) is not None)


def _held_back(data: bytes) -> int:
    """How many octets at the end of `data` may begin the end of the data."""
    if data.endswith(b"\r\n"):
        return 2
    if data.endswith(b"\r"):
        return 4 if data.endswith(b"\r\n.\r") else 1
    return 3 if data.endswith(_DOT) else 0


def _normalised(content: bytes) -> bytes:
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return lines.replace(b"\0", b"")
