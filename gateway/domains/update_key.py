"""The key that signs dynamic updates (TSIG, RFC 8945), read from the file that the name server's tools have written.

Its secret is shown nowhere: not in errors, not in what Python prints of it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.name
import dns.tsig

from gateway.errors import StellwerkError

ALGORITHMS = ("hmac-sha256", "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1")
USUAL_ALGORITHM = "hmac-sha256"
_MAX_FILE_BYTES = 65_536

_FORMS = (
    'expected one key, as BIND writes it: key "name" { algorithm hmac-sha256; secret "..."; }; '
    "or as knot does: hmac-sha256:name:secret"
)
# Two slashes stand in the base64 of many a secret, and begin no comment within quotes.
_QUOTED_OR_COMMENT = re.compile(r'("[^"\n]*")|/\*.*?\*/|(?://|#)[^\n]*', re.DOTALL)
_BIND = re.compile(r'key\s+("?)([^\s"{};]+)\1\s*\{([^{}]*)\}\s*;?')
_CLAUSE = re.compile(r'(algorithm|secret)\s+("?)([^\s";]+)\2\s*;')
_LINE = re.compile(r"(?:([^\s:]+):)?([^\s:]+):([A-Za-z0-9+/]+={0,2})")
_KNOT = re.compile(r"key:\s*\n((?:[ \t]+[^\n]*\n?)+)")
_KNOT_ITEM = re.compile(r"^[ \t]*(- )?[ \t]*(id|algorithm|secret):[ \t]*(\"?)([^\s\"]+)\3[ \t]*$", re.MULTILINE)


class KeyFileError(StellwerkError):
    """The file is not what was expected. The text names the file and never what is in it of the secret."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """`name` without the final dot, in lower case; `algorithm` one of `ALGORITHMS`."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)

    def signing(self) -> dns.tsig.Key:
        """What dnspython signs with. (It prints its secret: keep it out of texts.)"""
        return dns.tsig.Key(self.name, self.secret, self.algorithm)


def read_key(path: Path) -> UpdateKey:
    """The key in this file, which nobody but its owner may read. Raises `KeyFileError`."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}; expected the file of the update key (--key)") from None
    if mode & 0o077:
        raise KeyFileError(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
    try:
        return parse_key(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise KeyFileError(f"{path}: this is no text; {_FORMS}") from None
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from None


def parse_key(text: str) -> UpdateKey:
    """Read BIND's clause, knot's line (`knsupdate -k`), or what `keymgr -t` prints. Raises `ValueError`."""
    found = _bind(_QUOTED_OR_COMMENT.sub(lambda found: found[1] or " ", text)) or _knot(text) or _line(text)
    if not found:
        raise ValueError(f"there is no key in it; {_FORMS}")
    if len(found) > 1:
        # One might be for another server, and only its owner knows.
        raise ValueError(f"it holds {len(found)} keys; expected one: put the one for this server in a file of its own")
    name, algorithm, secret = found[0]
    return UpdateKey(_name(name), _algorithm(algorithm), _secret(secret))


_Parts = tuple[str, str, str]


def _bind(text: str) -> list[_Parts]:
    found = []
    for match in _BIND.finditer(text):
        clauses = {clause[1]: clause[3] for clause in _CLAUSE.finditer(match[3])}
        found.append((match[2], clauses.get("algorithm", ""), clauses.get("secret", "")))
    return found


def _knot(text: str) -> list[_Parts]:
    """The section `key:` of knot.conf."""
    section = _KNOT.search(text)
    keys: list[dict[str, str]] = []
    for item in _KNOT_ITEM.finditer(section[1]) if section else ():
        if item[1] or not keys:
            keys.append({})
        keys[-1][item[2]] = item[4]
    return [(key.get("id", ""), key.get("algorithm", ""), key.get("secret", "")) for key in keys]


def _line(text: str) -> list[_Parts]:
    lines = [line.strip() for line in text.splitlines()]
    matches = [_LINE.fullmatch(line) for line in lines if line and not line.startswith("#")]
    return [(match[2], match[1] or "", match[3]) for match in matches if match]


def _name(text: str) -> str:
    try:
        name = dns.name.from_text(text)
    except dns.exception.DNSException:
        name = dns.name.root
    if name == dns.name.root:
        raise ValueError(f"the key's name is missing or no domain name; {_FORMS}")
    return name.to_text(omit_final_dot=True).lower()


def _algorithm(text: str) -> str:
    algorithm = text.lower().removesuffix(".") or USUAL_ALGORITHM
    if algorithm in ("hmac-md5", "hmac-md5.sig-alg.reg.int"):
        raise ValueError("its algorithm is hmac-md5, which is broken (RFC 8945 6); make another key with hmac-sha256")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"its algorithm is none that is known here; expected {', '.join(ALGORITHMS)}")
    return algorithm


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise ValueError("its secret is missing or not base64; copy the whole of it, with the = at its end")
    return secret
