"""The key that an owner puts into DNS: how one is made, and what its record looks like. Nothing is looked up here."""

from __future__ import annotations

import base64
import secrets
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal["exact", "tree"]
SCOPES: tuple[Scope, ...] = ("exact", "tree")

TOKEN_OCTETS = 20  # 160 bits; 32 characters of base32 without padding
VALID_SECONDS = 14 * 86_400.0
"""How long a token may wait for its first proof. Once used it stays, as the sign that the domain is still theirs."""


def new_token() -> str:
    return base64.b32encode(secrets.token_bytes(TOKEN_OCTETS)).decode("ascii").lower()


def label(word: str, scope: Scope) -> str:
    """The owner label: its name says which service asks, and how much is granted. `word` is set per installation."""
    return f"_{word}-challenge" if scope == "exact" else f"_{word}-tree-challenge"


def challenge_name(domain: str, word: str, scope: Scope) -> str:
    """Where the record is looked for, absolute without the final dot."""
    return f"{label(word, scope)}.{domain}"


def challenge_text(token: str, gateway: str) -> str:
    """The record's text. It names the gateway, so that no other service can relay our challenge unseen."""
    return f"token={token} gateway={gateway} expiry=never"
