"""JSON texts of rows and log lines: what they look like, and that no value stops them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.json_text import json_text
from gateway.mail.reply import ACCEPTED


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, 0.25, None, True], "a": ""}, '{"b":[1,0.25,null,true],"a":""}'),
        ("Grüße\u2028", '"Grüße\u2028"'),
        ('a"\\\0\n', '"a\\"\\\\\\u0000\\n"'),
        ("\udc80ü", '"\\udc80\\u00fc"'),
        ({"path": "\udc80", "what": str}, '{"path":"\\udc80","what":"<class \'str\'>"}'),
        (1 << 70, "1180591620717411303424"),
        (Path("/var/spool"), '"/var/spool"'),
        (ACCEPTED.to_json(), '{"code":250,"enhanced":"2.0.0","text":"accepted"}'),
    ],
)
def test_json_text(value: Any, text: str) -> None:
    assert json_text(value) == text
    json.loads(text)


def test_the_caller_says_what_stands_for_a_value_without_a_form() -> None:
    assert json_text([object(), 1], lambda value: type(value).__name__) == '["object",1]'
    assert json_text([object(), "\udc80"], lambda value: type(value).__name__) == '["object","\\udc80"]'
