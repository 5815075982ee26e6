"""Keys for dynamic updates, as name servers' tools write them; and that no secret is ever shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.domains.update_key import KeyFileError, UpdateKey, parse_key, read_key

SECRET = "DqPqax0jzRgHQGH/HG62GGcm/UdnWQMUYsdrEODkwRY="
OCTETS = bytes.fromhex("0ea3ea6b1d23cd18074061ff1c6eb6186726fd4767590314" + "62c76b10e0e4c116")

GOOD = {
    "bind": (f'key "owner" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n', "hmac-sha256"),
    "bind on one line, bare": (f"key owner {{ algorithm hmac-sha512; secret {SECRET}; }};", "hmac-sha512"),
    "bind, the other order": (f'key "Owner." {{ secret "{SECRET}"; algorithm HMAC-SHA384; }};', "hmac-sha384"),
    "bind with comments": (
        f'// ours\n# too\n/* key "x" {{ secret "a"; }}; */\nkey owner {{ algorithm hmac-sha1; secret "{SECRET}"; }};',
        "hmac-sha1",
    ),
    "bind without algorithm": (f'key "owner" {{ secret "{SECRET}"; }};', "hmac-sha256"),
    "knot's line": (f"hmac-sha512:owner:{SECRET}\n", "hmac-sha512"),
    "knot's line without algorithm": (f"owner:{SECRET}", "hmac-sha256"),
    "knot's line with a remark": (f"# for customer.test\n\nhmac-sha224:owner.:{SECRET}\n", "hmac-sha224"),
    "keymgr": (
        f"# hmac-sha256:owner:{SECRET}\nkey:\n  - id: owner\n    algorithm: hmac-sha256\n    secret: {SECRET}\n",
        "hmac-sha256",
    ),
}


@pytest.mark.parametrize("form", GOOD)
def test_a_key_is_read(form: str) -> None:
    text, algorithm = GOOD[form]
    assert parse_key(text) == UpdateKey("owner", algorithm, OCTETS)


@pytest.mark.parametrize("form", [form for form in GOOD if "bare" not in form])
def test_two_slashes_in_a_secret_begin_no_comment(form: str) -> None:
    text, algorithm = GOOD[form]
    slashes = base64.b64encode(b"\xff" * 32).decode()
    assert "//" in slashes
    assert parse_key(text.replace(SECRET, slashes)) == UpdateKey("owner", algorithm, b"\xff" * 32)


BAD = {
    "nothing": ("", "there is no key in it"),
    "something else": ("zone customer.test { type primary; };", "there is no key in it"),
    "an unfinished clause": (f'key "owner" {{ algorithm hmac-sha256; secret "{SECRET}"', "there is no key in it"),
    "two of bind": (f"key a {{ secret {SECRET}; }}; key b {{ secret {SECRET}; }};", "it holds 2 keys"),
    "two of knot": (f"a:{SECRET}\nb:{SECRET}\n", "it holds 2 keys"),
    "two of knot.conf": (
        f"key:\n  - id: a\n    secret: {SECRET}\n  - id: b\n    secret: {SECRET}\n",
        "it holds 2 keys",
    ),
    "no secret": ('key "owner" { algorithm hmac-sha256; };', "secret is missing or not base64"),
    "a secret cut short": (f'key "owner" {{ secret "{SECRET[:-2]}"; }};', "secret is missing or not base64"),
    "a secret in hex with dashes": ('key "owner" { secret "0ea3-ea6b"; };', "secret is missing or not base64"),
    "md5": (f"hmac-md5:owner:{SECRET}", "its algorithm is hmac-md5, which is broken"),
    "an unknown algorithm": (f"hmac-sha3:owner:{SECRET}", "expected hmac-sha256, hmac-sha512"),
    "algorithm and secret mixed up": (f"{SECRET}:owner:hmac", "its algorithm is none that is known here"),
    "no name": (f"key:\n  - algorithm: hmac-sha256\n    secret: {SECRET}\n", "name is missing or no domain name"),
    "no name either": (f'key "a..b" {{ secret "{SECRET}"; }};', "name is missing or no domain name"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_key_is_refused_without_showing_it(case: str) -> None:
    text, expected = BAD[case]
    with pytest.raises(ValueError, match=expected) as refused:
        parse_key(text)
    assert SECRET[:8] not in str(refused.value)


def test_a_secret_is_not_printed() -> None:
    key = parse_key(f"owner:{SECRET}")
    assert repr(key) == "UpdateKey(name='owner', algorithm='hmac-sha256')"
    assert key.signing().secret == OCTETS


def key_file(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    file = directory / "owner.key"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    assert read_key(key_file(tmp_path, f"owner:{SECRET}\n".encode())).name == "owner"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, f"owner:{SECRET}\n".encode(), mode)
    with pytest.raises(KeyFileError) as refused:
        read_key(file)
    assert str(refused.value) == f"{file} can be read by others (mode {mode:04o}); run: chmod 600 {file}"
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\xff\xfe\x00", "this is no text"), (b"hello", "there is no key in it")]
)
def test_a_file_of_something_else_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    file = key_file(tmp_path, content)
    with pytest.raises(KeyFileError, match=f"^{file}: {expected}"):
        read_key(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=f"^{tmp_path}/none: No such file or directory"):
        read_key(tmp_path / "none")
