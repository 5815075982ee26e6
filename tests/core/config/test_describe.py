"""The description of all settings is complete, and the page made from it is current."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Ge
from pydantic import ValidationError

from gateway.api import Field, Settings
from gateway.config.describe import as_markdown, as_text, describe
from gateway.config.reading import render_problems
from gateway.hooks.loader import settings_models

SHIPPED = ("domain_check", "forwarding", "size_limit")
PAGE = Path(__file__).parents[3] / "docs/admin/configuration.md"


def test_every_setting_says_what_it_is_for() -> None:
    settings = [setting for table in describe() for setting in table.settings]
    assert len(settings) > 60
    assert [setting.key for setting in settings if not setting.description or not setting.allowed] == []


def test_keys_are_those_of_the_file() -> None:
    keys = {setting.key for table in describe() for setting in table.settings}
    assert {"plugins", "server.workers", "listener[].address", "next_hop.NAME.kind", "plugin.NAME.on_error"} <= keys


def test_the_settings_of_plugins_are_described_too() -> None:
    tables = {table.header: table for table in describe(settings_models(SHIPPED))}
    keys = {setting.key for header in tables if "size_limit" in header for setting in tables[header].settings}
    assert {"plugin.size_limit.max_attachment_bytes", "plugin.size_limit.domain.NAME.max_message_bytes"} <= keys
    assert all(setting.description for header in tables if "plugin." in header for setting in tables[header].settings)


def test_the_text_shows_defaults_and_bounds() -> None:
    text = as_text(describe())
    assert "  workers\n      SMTP processes" in text
    assert "a whole number, at least 1 and at most 64; default: 1\n" in text


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(describe(settings_models(SHIPPED))), (
        "run: .venv/bin/stellwerk config describe --markdown > docs/admin/configuration.md"
    )


def test_bounds_within_an_optional_value_are_told() -> None:
    class Limits(Settings):
        most: Annotated[int, Field(strict=True, gt=0)] | None = Field(None, description="for tests")
        some: Annotated[int, Ge(1)] | Annotated[str, Field(min_length=2)] = Field(1, description="for tests")

    (table,) = describe({"limits": Limits})[-1:]
    assert [setting.allowed for setting in table.settings] == [
        "a whole number, more than 0",
        "a whole number, at least 1 or a string, at least 2 characters",
    ]


def test_a_wrong_limit_for_one_listener_says_which_are_right() -> None:
    with pytest.raises(ValidationError) as caught:
        settings_models(SHIPPED)["size_limit"].model_validate({"listener": {"mx": {"max_attachment_bytes": -5}}})
    (problem,) = render_problems(None, settings_models(SHIPPED)["size_limit"], caught.value)
    assert problem == "found -5 at listener.mx.max_attachment_bytes; expected a whole number, more than 0"
