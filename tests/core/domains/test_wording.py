"""The hand-out's words: both languages say the same things, with the same facts."""

from __future__ import annotations

import string

import pytest

from gateway.domains.wording import english, german


def facts(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_words() -> None:
    assert list(english.WORDS) == list(german.WORDS)


@pytest.mark.parametrize("key", sorted(english.WORDS))
def test_a_sentence_has_the_same_facts_in_both(key: str) -> None:
    assert facts(english.WORDS[key]) == facts(german.WORDS[key])
