"""A stamp in a folder says what it was made from. It is written last, so half of an install never has one."""

from __future__ import annotations

import hashlib
from pathlib import Path

STAMP = ".memorygraph-stamp"


def digest(*inputs: bytes) -> str:
    """One hash over several inputs, each kept apart from the next."""
    whole = hashlib.sha256()
    for part in inputs:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def read(folder: Path) -> str | None:
    """What the folder was made from; None when it is not whole."""
    try:
        return (folder / STAMP).read_text().strip()
    except OSError:
        return None


def write(folder: Path, value: str) -> None:
    (folder / STAMP).write_text(value + "\n")


def remove(folder: Path) -> None:
    """Call before changing the folder: until it is whole again, it has no stamp."""
    (folder / STAMP).unlink(missing_ok=True)
