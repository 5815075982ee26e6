"""The pages for authors of plugins: what is made from code is current, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.authoring.readme import SECTIONS, sections
from gateway.authoring.reference import as_markdown, references

CHECKOUT = Path(__file__).parents[3]
DOCS = CHECKOUT / "docs" / "plugin-authors"
SHIPPED = sorted(path.parent.name for path in (CHECKOUT / "plugins" / "stellwerk_plugins").glob("*/plugin.py"))
PAGES = sorted(DOCS.rglob("*.md"))


def test_the_page_of_tags_and_headers_is_current() -> None:
    assert (DOCS / "tags-and-headers.md").read_text(encoding="utf-8") == as_markdown(references(SHIPPED)), (
        "run: .venv/bin/stellwerk plugins describe --markdown > docs/plugin-authors/tags-and-headers.md"
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_readme_has_its_sections(name: str) -> None:
    readme = CHECKOUT / "plugins" / "stellwerk_plugins" / name / "README.md"
    assert tuple(sections(readme.read_text(encoding="utf-8"))) == SECTIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
