"""Address books as vCard 4.0 (RFC 6350), CSV (RFC 4180) and LDIF (RFC 2849). Pure: entries in, text out."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable, Mapping

from gateway.directory.addressbook import Entry
from gateway.directory.bulk.files import write_rows

CSV_COLUMNS = ("name", "address", "further_addresses", "phone", "extension", "organisation", "context", "kind")
_FOLD = 75
_VCARD_SPECIAL = re.compile(r"[\\,;]")
# RFC 4514 2.4
_DN_SPECIAL = re.compile(r'[\\",+;<>=]')


def vcard(entries: Iterable[Entry]) -> str:
    """One card for each entry."""
    return "".join(_card(entry) for entry in entries)


def _card(entry: Entry) -> str:
    lines = [
        "BEGIN:VCARD",
        "VERSION:4.0",
        f"UID;VALUE=text:{_value(entry.id)}",
        # A group without members (RFC 6350 6.1.4): programs offer it as one address for many people.
        f"KIND:{'individual' if entry.kind == 'person' else 'group'}",
        f"FN:{_value(entry.name)}",
    ]
    lines += [f"EMAIL;PREF={place}:{_value(address)}" for place, address in enumerate(entry.addresses[:100], start=1)]
    if entry.phone:
        lines.append(f"TEL;VALUE=text;TYPE=work:{_value(entry.phone)}")
    if entry.extension:
        lines.append(f"TEL;VALUE=text;TYPE=x-extension:{_value(entry.extension)}")
    lines += [f"ORG:{_value(entry.organisation)};{_value(entry.context)}", "END:VCARD"]
    return "".join(f"{folded(line)}\r\n" for line in lines)


def _value(text: str) -> str:
    """RFC 6350 3.4: backslash, comma, semicolon and line ends are escaped."""
    escaped = _VCARD_SPECIAL.sub(lambda found: f"\\{found[0]}", text)
    return escaped.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def folded(line: str) -> str:
    """`line` in pieces of at most 75 octets, the later ones behind a space; no character is cut (RFC 6350 3.2)."""
    pieces: list[str] = []
    piece, octets = "", 0
    for character in line:
        size = len(character.encode())
        if octets + size > _FOLD:
            pieces.append(piece)
            piece, octets = "", 1  # the space that the next line begins with
        piece += character
        octets += size
    return "\r\n ".join([*pieces, piece])


def comma_separated(entries: Iterable[Entry]) -> str:
    """A line for each entry; no cell is a formula for a spreadsheet."""
    file = io.StringIO(newline="")
    write_rows(file, CSV_COLUMNS, (_row(entry) for entry in entries))
    return file.getvalue()


def _row(entry: Entry) -> Mapping[str, str]:
    first, *further = entry.addresses or ("",)
    return {
        "name": entry.name,
        "address": first,
        "further_addresses": " ".join(further),
        "phone": entry.phone,
        "extension": entry.extension,
        "organisation": entry.organisation,
        "context": entry.context,
        "kind": entry.kind,
    }


def ldif(entries: Iterable[Entry]) -> str:
    """A record of class inetOrgPerson (RFC 2798) for each entry."""
    return "version: 1\n" + "".join(_record(entry) for entry in entries)


def _record(entry: Entry) -> str:
    identity = entry.addresses[0] if entry.addresses else entry.id
    naming = "mail" if entry.addresses else "uid"
    place = f"ou={_in_dn(entry.context)},o={_in_dn(entry.organisation)}"
    attributes = [
        ("dn", f"{naming}={_in_dn(identity)},{place}"),
        *(("objectClass", name) for name in ("top", "person", "organizationalPerson", "inetOrgPerson")),
        ("cn", entry.name),
        # inetOrgPerson must have one, and the directory knows whole names only.
        ("sn", entry.name.rpartition(" ")[2] or entry.name),
        ("uid", entry.id),
        *(("mail", address) for address in entry.addresses),
        ("telephoneNumber", entry.phone),
        ("o", entry.organisation),
        ("ou", entry.context),
    ]
    if entry.extension:
        attributes.append(("telephoneNumber", entry.extension))
    return "\n" + "".join(f"{_attribute(name, value)}\n" for name, value in attributes if value)


def _attribute(name: str, value: str) -> str:
    """`name: value`, in base 64 where RFC 2849 wants it: not ASCII, a first space, colon or <, a last space."""
    safe = value.isascii() and value.isprintable() and value[0] not in " :<" and value[-1] != " "
    line = f"{name}: {value}" if safe else f"{name}:: {base64.b64encode(value.encode()).decode()}"
    return "\n ".join([line[:_FOLD], *(line[at : at + _FOLD - 1] for at in range(_FOLD, len(line), _FOLD - 1))])


def _in_dn(text: str) -> str:
    escaped = _DN_SPECIAL.sub(lambda found: f"\\{found[0]}", text)
    if escaped.startswith(("#", " ")):
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if escaped.endswith(" ") and len(escaped) > 1 else escaped


FORMATS: dict[str, Callable[[Iterable[Entry]], str]] = {"vcf": vcard, "csv": comma_separated, "ldif": ldif}
