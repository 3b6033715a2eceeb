"""`make openapi`: writes what functions/memories/documents/ serves anew."""

from __future__ import annotations

import json
from pathlib import Path

from infra.openapi.document import document
from infra.openapi.page import page

FOLDER = Path(__file__).resolve().parents[2] / "functions" / "memories" / "documents"


def files() -> dict[str, str]:
    """Name of a file -> its text."""
    made = document()
    return {"openapi.json": json.dumps(made, indent=1, ensure_ascii=False) + "\n", "docs.html": page(made)}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
