"""The servers of the local cloud, as tests find them: in LOCAL_ROOT/parts, where `make test` installs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def find(pattern: str) -> Path:
    """The one file below the npm packages that matches; without it the test is skipped, saying what installs it."""
    root = REPOSITORY / os.environ.get("LOCAL_ROOT", ".local")
    found = sorted(root.glob(f"parts/node_modules/{pattern}"))
    if not found:
        pytest.skip(f"{pattern} is not installed below {root}: `make test` installs it")
    return found[0]
