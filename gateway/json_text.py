"""JSON texts, without spaces, for rows and log lines: several for each message, so the quickest way that we have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def _as_str(value: Any) -> str:
    return str(value)


def json_text(value: Any, unknown: Callable[[Any], Any] = _as_str) -> str:
    """`value` as JSON. `unknown` gives what stands for a value that JSON has no form for; by default its text.

    Text is left as it is. What UTF-8 cannot hold is escaped, and all that is not ASCII with it.
    """
    try:
        return to_json(value, fallback=unknown).decode()
    except PydanticSerializationError:  # a lone surrogate, or a value that contains itself
        return json.dumps(value, separators=(",", ":"), default=unknown)
