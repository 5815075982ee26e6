"""Message data as it stands on the wire after DATA: its end, its dots, its stray octets. No limits, no storage."""

from __future__ import annotations

_END = b"\r\n.\r\n"
_DOT = b"\r\n."


class DataDecoder:
    """Turns blocks of the wire into the octets of the message, wherever the blocks were cut.

    The data ends at CR LF . CR LF and at nothing else (RFC 5321 4.1.1.4): every other reading of a lone dot lets one
    server see two messages where another saw one. Bare CR and LF and NUL are counted, and with `normalise` replaced.
    """

    __slots__ = (
        "_carry",
        "_column",
        "_normalise",
        "_opening",
        "_reach",
        "ended",
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
        # The CR LF of the DATA command: a dot right behind it stands at the beginning of a line.
        self._carry = b"\r\n"
        self._opening = True
        self.ended = False
        self.rest = b""
        """What came behind the end of the data: the next commands."""
        self.stray_cr = self.stray_lf = self.stray_nul = 0
        self.line_too_long = False
        """A line had more than `max_line_bytes` octets, its line end not counted."""

    @property
    def has_strays(self) -> bool:
        return bool(self.stray_cr or self.stray_lf or self.stray_nul)

    def feed(self, block: bytes) -> bytes:
        """The message octets that `block` settles. Sets `ended` and `rest` at the end of the data."""
        data = self._carry + block if self._carry else block
        dot = data.find(_DOT)  # one pass finds both what may end the data and what is stuffed
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.ended = True
            self.rest = data[end + len(_END) :]
            cut = end + 2
        else:
            cut = len(data) - _held_back(data)
            self._carry = data[cut:]
        start = 0
        if self._opening and cut:
            self._opening = False
            start = 2
        content = data[start:cut]
        if dot not in (-1, end):  # RFC 5321 4.5.2: a dot at the beginning of a line was put there by the client
            content = data[:cut].replace(_DOT, b"\r\n")[start:]
        self._inspect(content)
        return _normalised(content) if self._normalise and self.has_strays else content

    def _inspect(self, content: bytes) -> None:
        # A piece never ends between a CR and its LF, so each can be counted by itself; counting beats any regex.
        pairs = content.count(b"\r\n")
        self.stray_cr += content.count(b"\r") - pairs
        self.stray_lf += content.count(b"\n") - pairs
        if b"\0" in content:
            self.stray_nul += content.count(b"\0")
        if not self._reach:
            return
        start = -self._column  # of the line that runs on from the piece before
        while len(content) - start >= self._reach:  # the longest stride from line end to line end
            feed = content.rfind(b"\n", max(start, 0), start + self._reach)
            if feed < 0:
                self.line_too_long = True
                self._reach = 0
                return
            start = feed + 1
        self._column = len(content) - (content.rfind(b"\n", max(start, 0)) + 1 or start)


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
