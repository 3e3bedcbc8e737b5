"""The site of the documents leaves nothing out."""

import re
from pathlib import Path

import pytest

import flashwick as fw

DOCS = Path(__file__).parents[1] / "docs"
LISTED = set(
    re.findall(r"\.\. auto\w+:: \S*?(\w+)$", (DOCS / "api.md").read_text(), re.M)
)
PAGES = [path for path in sorted(DOCS.glob("*.md")) if path.name != "index.md"]


@pytest.mark.parametrize("name", fw.__all__)
def test_every_public_name_has_its_place_in_the_reference(name):
    """What can be imported from the face is listed, by the name it was defined with."""
    found = getattr(fw, name)
    assert {name, getattr(found, "__name__", name)} & LISTED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_document_is_in_the_contents(page):
    """A page that nothing leads to would not be read."""
    assert page.stem in (DOCS / "index.md").read_text().splitlines()


def test_every_page_of_a_replay_is_in_the_contents_of_their_overview():
    """The pages of a folder are listed by the page of its name."""
    lines = (DOCS / "history.md").read_text().splitlines()
    for page in (DOCS / "history").glob("*.md"):
        assert f"history/{page.stem}" in lines
