"""The texts of conditions: addresses and globs in their normal form, patterns that compile. Nothing here sees mail."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

import re2
from pydantic import AfterValidator, BeforeValidator

from gateway.api import Address, AddressError, Field

MAX_CHARACTERS = 1000
NULL_SENDER = "<>"


def compiled(pattern: str) -> Any:
    """An RE2 pattern: linear in the text whatever it says, in any case. Raises ValueError with what is wrong."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"expected an RE2 pattern: {_words(error)}") from None
    except UnicodeError:
        raise ValueError("expected an RE2 pattern: it holds half of a surrogate pair") from None


def compiled_glob(glob: str) -> Any:
    """A pattern for the whole of a text, in which * stands for any characters and ? for one."""
    parts = {"*": "(?s:.*)", "?": "(?s:.)"}
    return compiled("\\A" + "".join(parts.get(character) or re2.escape(character) for character in glob) + "\\z")


def split_glob(glob: str) -> tuple[str, str]:
    """The globs for local part and domain."""
    local, _, domain = glob.rpartition("@")
    return local, domain


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _one_or_several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _key(text: str) -> str:
    """Addresses are compared in one normal form, however they were written."""
    try:
        return Address.parse(text).key
    except AddressError as error:
        raise ValueError(f'expected an address such as "anna@example.test": {error}') from None


def _key_or_null(text: str) -> str:
    return text if text == NULL_SENDER else _key(text)


def _address_glob(glob: str) -> str:
    local, at, domain = glob.rpartition("@")
    if not at or not local or not domain:
        raise ValueError('expected globs for local part and domain, such as "*@example.test"')
    labels = [_glob_label(label) for label in domain.removesuffix(".").split(".")]
    return f"{local.lower()}@{'.'.join(labels)}"


def _glob_label(label: str) -> str:
    """A label of a domain as DNS has it. One with a wildcard has no A-label, so it must be one already."""
    if label.isascii() and not label.lower().startswith("xn--"):
        return label.lower()
    try:
        return Address.parse(f"x@{label}").domain
    except AddressError:
        raise ValueError(f'write the label "{label}" as DNS has it (xn--...), or without wildcards') from None


def _pattern(text: str) -> str:
    compiled(_filled(text))
    return text


def _filled(text: str) -> str:
    if not text:
        raise ValueError("expected a text that is not empty: an empty one is in every text")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError('expected an address or a network such as "192.0.2.0/24"') from None


def _header_name(name: str) -> str:
    if not name or not all("!" <= character <= "~" and character != ":" for character in name):
        raise ValueError('expected the name of a header field, such as "List-Id"')
    return name.lower()


def _target(text: str) -> str:
    try:
        return str(Address.parse(text))
    except AddressError as error:
        raise ValueError(f'expected an address such as "anna@example.test": {error}') from None


Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Texts = Annotated[list[Text], BeforeValidator(_one_or_several)]
WordTexts = Annotated[list[Annotated[Text, AfterValidator(_filled)]], BeforeValidator(_one_or_several)]
Keys = Annotated[list[Annotated[Text, AfterValidator(_key)]], BeforeValidator(_one_or_several)]
KeysOrNull = Annotated[list[Annotated[Text, AfterValidator(_key_or_null)]], BeforeValidator(_one_or_several)]
AddressGlobs = Annotated[list[Annotated[Text, AfterValidator(_address_glob)]], BeforeValidator(_one_or_several)]
Patterns = Annotated[list[Annotated[Text, AfterValidator(_pattern)]], BeforeValidator(_one_or_several)]
Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(_one_or_several)]
HeaderName = Annotated[Text, AfterValidator(_header_name)]
Target = Annotated[Text, AfterValidator(_target)]
