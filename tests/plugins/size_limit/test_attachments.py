"""What counts as an attachment and how large it is, measured without decoding."""

from __future__ import annotations

import base64
import email
import email.policy
import quopri
from email.message import EmailMessage, Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellwerk_plugins.size_limit import attachments
from stellwerk_plugins.size_limit.attachments import MAX_DEPTH, MAX_PARTS, attachment_bytes

from gateway.mail.body import MemoryBody

PDF = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def mixed(*parts: bytes, boundary: bytes = b"b") -> bytes:
    """A multipart/mixed message: header and content of each part."""
    inner = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + inner + b"--" + boundary + b"--\r\n"


def measured(raw: bytes) -> int | None:
    return attachment_bytes(MemoryBody(raw))


def counted_by_python(raw: bytes) -> int:
    """The same, by the standard library's parser and decoders."""
    total = 0
    waiting: list[Message] = [email.message_from_bytes(raw, policy=email.policy.compat32)]
    while waiting:
        part = waiting.pop()
        inner = part.get_payload()
        if isinstance(inner, list):
            waiting += [each for each in inner if isinstance(each, Message)]
            continue
        named = part.get_filename() is not None or part.get_content_disposition() == "attachment"
        if named or part.get_content_type() not in ("text/plain", "text/html"):
            decoded = part.get_payload(decode=True)
            assert isinstance(decoded, bytes)
            total += len(decoded)
    return total


@pytest.mark.parametrize(
    ("raw", "octets"),
    [
        pytest.param(b"Subject: x\r\n\r\nhello\r\n", 0, id="plain text"),
        pytest.param(b"Content-Type: text/html\r\n\r\n<p>hello\r\n", 0, id="html"),
        pytest.param(b"", 0, id="empty message"),
        pytest.param(b"\r\n", 0, id="no header"),
        pytest.param(b"Subject: only a header\r\n", 0, id="no body"),
        pytest.param(b"Content-Type: application/pdf\r\n\r\n12345", 5, id="the whole message is an attachment"),
        pytest.param(mixed(b"\r\nhello", PDF + b"\r\n" + base64_lines(b"x" * 100)), 100, id="text and one attachment"),
        pytest.param(
            mixed(PDF + b"\r\n" + base64_lines(b"x" * 100), PDF + b"\r\n" + base64_lines(b"y" * 11)), 111,
            id="attachments add up",
        ),
        pytest.param(
            mixed(b"Content-Disposition: attachment\r\n\r\nhello"), 5, id="text that is an attachment by disposition"
        ),
        pytest.param(mixed(b"Content-Disposition: inline; filename=a.txt\r\n\r\nhello"), 5, id="inline with a name"),
        pytest.param(mixed(b"Content-Disposition: inline; filename*=utf-8''a\r\n\r\nhello"), 5, id="RFC 2231 name"),
        pytest.param(mixed(b"Content-Disposition: inline; filename*0=a\r\n\r\nhello"), 5, id="name in pieces"),
        pytest.param(mixed(b'Content-Type: text/plain; name="a.txt"\r\n\r\nhello'), 5, id="text with the old name="),
        pytest.param(mixed(b"Content-Disposition: inline\r\n\r\nhello"), 0, id="inline text without a name"),
        pytest.param(mixed(b"Content-Type: image/png\r\nContent-Disposition: inline\r\n\r\n12345"), 5, id="image"),
        pytest.param(mixed(b"Content-Type: text/calendar\r\n\r\n12345"), 5, id="other text"),
        pytest.param(mixed(b"CONTENT-TYPE : APPLICATION/PDF\r\n\r\n12345"), 5, id="any case, blank before the colon"),
        pytest.param(mixed(b"Content-Type:\r\n\tapplication/pdf\r\n\r\n12345"), 5, id="folded"),
        pytest.param(
            mixed(b"Content-Type: application/pdf\r\nContent-Type: text/plain\r\n\r\n12345"), 5, id="m4 first one"
        ),
        pytest.param(
            mixed(b"Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc"), 4,
            id="quoted-printable",
        ),
        pytest.param(mixed(PDF + b"\r\n!!QUJD\r\n  ????\r\n=="), 3, id="junk in base64 is no data"),
        pytest.param(
            mixed(b"Content-Type: message/rfc822\r\n\r\n" + mixed(PDF + b"\r\nQUJD", boundary=b"c")), 3,
            id="attachment of a forwarded message",
        ),
        pytest.param(
            mixed(b"Content-Type: message/rfc822\r\n\r\n>From x Mon\r\n" + mixed(PDF + b"\r\nQUJD", boundary=b"c")), 3,
            id="forwarded message with an mbox line",
        ),
        pytest.param(
            mixed(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD"), 3,
            id="a coded message is an attachment itself",
        ),
        pytest.param(mixed(b"Content-Type: message/delivery-status\r\n\r\n12345"), 5, id="delivery status"),
        pytest.param(mixed(b"Content-Type: multipart/mixed\r\n\r\n--c\r\n12345"), 0, id="multipart without boundary"),
        pytest.param(mixed(PDF + b"\r\nQUJD").removesuffix(b"\r\n--b--\r\n"), 3, id="missing end"),
        pytest.param(mixed(PDF + b"\r\nQUJD").removesuffix(b"\r\n"), 3, id="no line end at the end"),
        pytest.param(mixed(PDF + b"QUJD"), 3, id="no empty line behind the part's header"),
        pytest.param(mixed(PDF + b"\r\nQUJD") + b"trailing\r\n--b\r\n" + PDF + b"\r\nQUJD", 3, id="epilogue"),
        pytest.param(mixed(b"Content-Type: a/b\r\n\r\n--bb\r\n--b x\r\n--"), 4 + 7 + 4, id="lines like a delimiter"),
        pytest.param(mixed(PDF + b"\r\nQUJD", boundary=b"a b"), 3, id="boundary with a blank"),
        pytest.param(mixed(PDF + b"\r\nQUJD", boundary=b".*[()"), 3, id="boundary with signs of a pattern"),
        pytest.param(mixed(PDF + b"\r\nQUJD", boundary=b"x" * 998), 3, id="boundary of 998 octets"),
        pytest.param(mixed(PDF + b"\r\nQUJD", boundary=b"x" * 2049), 0, id="m7 boundary of 2,049 octets"),
        pytest.param(mixed(PDF + b"\r\nQUJD").replace(b"--b\r\n", b"--b \t\r\n"), 3, id="blanks behind a delimiter"),
        pytest.param(
            b'Content-Type: multipart/mixed; boundary="a\\"b"\r\n\r\n--a"b\r\nContent-Type: a/b\r\n\r\n12\r\n--a"b', 2,
            id="m7 quoted pair in the boundary",
        ),
        pytest.param(
            mixed(b"Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Type: a/b\r\n\r\n123\r\n--bb--",
                  b"Content-Type: a/b\r\n\r\n4567"), 7,
            id="m7 boundary that begins another",
        ),
        pytest.param(
            mixed(b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: a/b\r\n\r\n123",
                  b"Content-Type: a/b\r\n\r\n4567"), 7,
            id="inner multipart without an end",
        ),
    ],
)  # fmt: skip
def test_attachment_bytes(raw: bytes, octets: int) -> None:
    assert measured(raw) == octets


@pytest.mark.parametrize("size", range(8))
def test_base64_is_exact_for_every_padding(size: int) -> None:
    assert measured(mixed(PDF + b"\r\n" + base64_lines(b"x" * size))) == size


def nested(levels: int) -> bytes:
    raw = PDF + b"\r\nQUJD"
    for level in range(levels):
        raw = mixed(raw, boundary=b"level%d" % level)
    return raw


def test_m6_depth_has_an_end() -> None:
    assert measured(nested(MAX_DEPTH)) == 3
    assert measured(nested(MAX_DEPTH + 1)) is None
    assert measured(nested(400)) is None


def test_m6_parts_have_an_end() -> None:
    assert measured(mixed(*[b"Content-Type: a/b\r\n\r\nx"] * (MAX_PARTS - 1))) == MAX_PARTS - 1
    assert measured(mixed(*[b"Content-Type: a/b\r\n\r\nx"] * MAX_PARTS)) is None
    assert measured(b"Content-Type: message/rfc822\r\n\r\n" * (MAX_PARTS + 1)) is None


@pytest.mark.parametrize("piece", [310, 311, 400, 1000])
def test_pieces_end_anywhere(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    data = bytes(range(256)) * 9
    parts = (
        PDF + b"\r\n" + base64_lines(data),
        b"Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quopri.encodestring(data).replace(b"\n", b"\r\n"),
        b"Content-Type: a/b\r\n\r\n" + data.replace(b"\r", b"").replace(b"\n", b""),
    )
    expected = measured(mixed(*parts))
    monkeypatch.setattr(attachments, "PIECE", piece)
    for shift in range(0, 320, 7):
        assert measured(mixed(b"\r\n" + b"x" * shift, *parts)) == expected


names = st.none() | st.from_regex(r"[a-z]{1,8}\.[a-z]{3}", fullmatch=True)


@st.composite
def mail(draw: st.DrawFn, depth: int = 1) -> EmailMessage:
    """A message as a mail program makes it."""
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content(draw(st.text(alphabet="ab-=\n", max_size=80)), cte=draw(st.sampled_from(["7bit", "base64"])))
    if draw(st.booleans()):
        message.add_alternative("<p>--</p>", subtype="html")
    for _ in range(draw(st.integers(0, 3))):
        if depth and draw(st.booleans()):
            message.add_attachment(draw(mail(depth=depth - 1)))
            continue
        data, name = draw(st.binary(max_size=300)), draw(names)
        main = draw(st.sampled_from(["application", "image", "text"]))
        message.add_attachment(data, main, "x-data", filename=name, disposition="attachment" if name else "inline")
    return message


@settings(max_examples=30)
@given(mail())
def test_same_as_the_standard_library(message: EmailMessage) -> None:
    raw = message.as_bytes(policy=email.policy.SMTP)
    assert measured(raw) == counted_by_python(raw)


@settings(max_examples=100)
@given(st.lists(st.sampled_from([
    b"\r\n", b"--b", b"--", b"--c", b" ", b"Content-Type: multipart/mixed; boundary=c", b"Content-Type: message/rfc822",
    b"Content-Transfer-Encoding: base64", b"QUJD", b"=", b"\x00\xff", b":", b";", b'"', b"Content-Type: a/b",
]), max_size=60))  # fmt: skip
def test_never_raises_and_never_exceeds_the_message(pieces: list[bytes]) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(pieces)
    found = measured(raw)
    assert found is not None
    assert 0 <= found <= len(raw)
