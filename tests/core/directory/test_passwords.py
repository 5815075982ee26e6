"""Passwords and their hashes."""

from __future__ import annotations

import pytest

from gateway.directory.errors import BadValue
from gateway.directory.passwords import MAX_BYTES, dummy_hash, hash_password, verify


def test_a_password_fits_its_own_hash_and_nothing_else_does() -> None:
    kept = hash_password("Grüße aus dem Stellwerk")
    assert verify(kept, "Grüße aus dem Stellwerk")
    assert not verify(kept, "grüße aus dem stellwerk")
    assert not verify(kept, "")


def test_the_hash_is_argon2id_with_64_mib_and_a_salt_of_its_own() -> None:
    first, second = hash_password("same"), hash_password("same")
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert first != second
    assert "same" not in first


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$", "$argon2id$v=19$m=65536,t=3,p=1$c2FsdA", "{PLAIN}secret"])
def test_nobody_logs_in_with_a_broken_hash(broken: str) -> None:
    assert not verify(broken, "secret")
    assert not verify(broken, "")


@pytest.mark.parametrize("wrong", ["", "a\0b", "x" * (MAX_BYTES + 1), "ü" * (MAX_BYTES // 2 + 1)])
def test_a_password_that_no_client_could_send_is_refused(wrong: str) -> None:
    with pytest.raises(BadValue, match="1 to 1024 bytes"):
        hash_password(wrong)


def test_nothing_fits_the_dummy() -> None:
    assert not verify(dummy_hash(), "")
    assert dummy_hash().startswith("$argon2id$v=19$m=65536,t=3,p=1$")
