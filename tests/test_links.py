"""What the documents point at is there: links with their headings, and paths of this repository in code spans.

Left out: addresses elsewhere, since tests reach loopback only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`((?:docs|functions|infra|tests)/[\w./-]+)`")
_MADE = ("docs/benchmarks.md",)
"""What a command writes, and a fresh clone need not have."""


def _headings(text: str) -> set[str]:
    """Their anchors, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _missing(document: Path) -> Iterator[str]:
    text = document.read_text(encoding="utf-8")
    for link in _LINK.findall(text):
        if re.match(r"\w+:", link):
            continue
        path, _, heading = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (heading and heading not in _headings(target.read_text(encoding="utf-8"))):
            yield link
    for path in _CODE.findall(text):
        if path not in _MADE and not any(REPOSITORY.glob(path.rstrip("/").replace("NAME", "*"))):
            yield path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_everything_that_a_document_names_is_there(document: Path) -> None:
    assert list(_missing(document)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A *heading*, here\n")
    document = tmp_path / "one.md"
    document.write_text(
        "[a](other.md) [b](other.md#a-heading-here) [c](none.md) [d](other.md#none) [e](#none) [f](https://none.invalid)"
        " `functions/none.py` `functions/NAME/main.py` `functions/NAME/none.py` `functions/core/` `docs/benchmarks.md`"
    )
    assert list(_missing(document)) == [
        "none.md",
        "other.md#none",
        "#none",
        "functions/none.py",
        "functions/NAME/none.py",
    ]
