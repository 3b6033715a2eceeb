"""What a function's archive holds: an explicit list of files, and a hash of their contents.

The archive's root has `main.py`, `NAME/`, `core/`, the function's further `packages`, `declarations.py` and
`requirements.txt`, so the import names are those of the repository. Only files of `SUFFIXES` are listed: a folder as an
archive would take `__pycache__` along and change its hash with every run.

`declarations.py` is the one file that is not taken as it is: each `sizing=...` is cut out of it. How much memory a
function has is the platform's affair; were it in the archive, changing it would deploy every function anew.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pulumi

from declarations import Function

FUNCTIONS = Path(__file__).resolve().parents[1] / "functions"
SUFFIXES = (".py", ".sql", ".json", ".html")


class SourceError(pulumi.RunError):
    """A file that the archive needs is missing, or `declarations.py` cannot be read."""


def files(function: Function, root: Path = FUNCTIONS) -> dict[str, pulumi.FileAsset | pulumi.StringAsset]:
    """Path in the archive -> what is there, sorted by path.

    Raises:
        SourceError: naming the file.
    """
    assets: dict[str, pulumi.FileAsset | pulumi.StringAsset] = {}
    for name, path in _paths(function, root).items():
        if name == "declarations.py":
            assets[name] = pulumi.StringAsset(without_sizing(_text(path)))
        else:
            assets[name] = pulumi.FileAsset(str(path))
    return assets


def digest(assets: Mapping[str, pulumi.FileAsset | pulumi.StringAsset]) -> str:
    """SHA-256 (hex) over paths and contents; the same on every machine."""
    total = hashlib.sha256()
    for name in sorted(assets):
        content = contents(assets[name])
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def contents(asset: pulumi.FileAsset | pulumi.StringAsset) -> bytes:
    """The bytes of one file of the archive."""
    if isinstance(asset, pulumi.FileAsset):
        return Path(asset.path).read_bytes()
    return asset.text.encode()


def without_sizing(text: str) -> str:
    """The source of a declarations module with the keyword `sizing` cut out of each `Function(...)`.

    Everything else stays as it is, byte by byte, comments included.

    Raises:
        SourceError: the text is no Python.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise SourceError(f"functions/declarations.py, line {error.lineno}: {error.msg}") from None
    source = text.encode()  # ast counts columns in UTF-8 bytes
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    cuts = [
        (starts[keyword.lineno - 1] + keyword.col_offset, starts[_end(keyword)[0] - 1] + _end(keyword)[1])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Function"
        for keyword in node.keywords
        if keyword.arg == "sizing"
    ]
    for start, end in sorted(cuts, reverse=True):
        source = source[:start] + _after_comma(source[end:])
    return source.decode()


def _paths(function: Function, root: Path) -> dict[str, Path]:
    """Path in the archive -> path on disk, sorted."""
    name = function.name
    found = {
        "main.py": root / name / "main.py",
        "declarations.py": root / "declarations.py",
        "requirements.txt": root / name / "requirements.txt",
    }
    for missing in (path for path in found.values() if not path.is_file()):
        raise SourceError(f"functions/{missing.relative_to(root)} is missing: the archive of {name!r} needs it.")
    for package in ("core", name, *function.packages):
        for path in (root / package).rglob("*"):
            if path.suffix in SUFFIXES and path != root / package / "main.py":
                found[path.relative_to(root).as_posix()] = path
    return dict(sorted(found.items()))


def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _end(keyword: ast.keyword) -> tuple[int, int]:
    assert keyword.end_lineno is not None
    assert keyword.end_col_offset is not None  # set by ast.parse for every node
    return keyword.end_lineno, keyword.end_col_offset


def _after_comma(rest: bytes) -> bytes:
    """Drop the comma that ended the keyword; without one it was the last, and the one before it may stay."""
    comma = re.match(rb"(?:\s|#[^\n]*)*,", rest)
    return rest[comma.end() :] if comma else rest
