"""Which files are a function, and what is in them: an explicit list.

The root of what is deployed has `main.py`, `NAME/`, `core/`, the function's further `packages`, `declarations.py` and
`requirements.txt`, so the import names are those of the repository. Only files of `SUFFIXES` are listed: a folder as an
archive would take `__pycache__` along and change its hash with every run.

`declarations.py` is the one file that is not taken as it is: each `sizing=...` is cut out of it. How much memory a
function has is the platform's affair; were it in the archive, changing it would deploy every function anew.

Standard library only, and a program too: functions/Dockerfile has it write the files where nothing is installed yet.

    python -m infra.archive NAME FOLDER
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from declarations import DEPLOYED, Function

FUNCTIONS = Path(__file__).resolve().parents[1] / "functions"
SUFFIXES = (".py", ".sql", ".json", ".html")
DECLARATIONS = "declarations.py"


class ArchiveError(Exception):
    """A file that is needed is missing, or `declarations.py` cannot be read. The message names it."""


def paths(function: Function, root: Path = FUNCTIONS) -> dict[str, Path]:
    """Path in the archive -> path on disk, sorted by the first.

    Raises:
        ArchiveError: one is missing.
    """
    name = function.name
    found = {
        "main.py": root / name / "main.py",
        DECLARATIONS: root / DECLARATIONS,
        "requirements.txt": root / name / "requirements.txt",
    }
    for missing in (path for path in found.values() if not path.is_file()):
        raise ArchiveError(f"functions/{missing.relative_to(root)} is missing: the archive of {name!r} needs it.")
    for package in ("core", name, *function.packages):
        for path in (root / package).rglob("*"):
            if path.suffix in SUFFIXES and path != root / package / "main.py":
                found[path.relative_to(root).as_posix()] = path
    return dict(sorted(found.items()))


def contents(name: str, path: Path) -> bytes:
    """What the archive has under `name`.

    Raises:
        ArchiveError: it is `declarations.py`, and no Python.
    """
    content = path.read_bytes()
    return without_sizing(content.decode()).encode() if name == DECLARATIONS else content


def write(function: Function, folder: Path, root: Path = FUNCTIONS) -> None:
    """Write all of it into `folder`, which need not exist. Raises ArchiveError."""
    for name, path in paths(function, root).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents(name, path))


def main(words: Sequence[str]) -> int:
    functions = {function.name: function for function in DEPLOYED}
    if len(words) != 2 or words[0] not in functions:
        sys.stderr.write(f"Say which function and where to: python -m infra.archive {'|'.join(functions)} FOLDER\n")
        return 2
    try:
        write(functions[words[0]], Path(words[1]))
    except ArchiveError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def without_sizing(text: str) -> str:
    """The source of a declarations module with the keyword `sizing` cut out of each `Function(...)`.

    Everything else stays as it is, byte by byte, comments included.

    Raises:
        ArchiveError: the text is no Python.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ArchiveError(f"functions/declarations.py, line {error.lineno}: {error.msg}") from None
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


def _end(keyword: ast.keyword) -> tuple[int, int]:
    assert keyword.end_lineno is not None
    assert keyword.end_col_offset is not None  # set by ast.parse for every node
    return keyword.end_lineno, keyword.end_col_offset


def _after_comma(rest: bytes) -> bytes:
    """Drop the comma that ended the keyword; without one it was the last, and the one before it may stay."""
    comma = re.match(rb"(?:\s|#[^\n]*)*,", rest)
    return rest[comma.end() :] if comma else rest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
