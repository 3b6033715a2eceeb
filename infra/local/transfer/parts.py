"""A file in parts that the API takes: JSON lines as they are, a document of format 2.0 as lines too.

Reads a row at a time, so the size of the file does not matter. The same file always gives the same parts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

from declarations import IMPORT_PART_BYTES
from infra.local.trouble import Trouble
from memories.transfer.formats import LISTS, LOCAL_VERSIONS, VERSION, Mark

PART_BYTES = IMPORT_PART_BYTES
PART_ROWS = 10_000
LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})
BLOCK = 1 << 16
VALUE_MOST = 4 * IMPORT_PART_BYTES
"""Characters of one value of a document: more is taken for a mistake in its syntax."""


@dataclass
class Part:
    """`labels`: where in the file each of its lines comes from. `refused`: what could not be sent, by label."""

    number: int
    body: bytearray = field(default_factory=bytearray)
    labels: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def label(self, row: int) -> str:
        return self.labels[row - 1] if 0 < row <= len(self.labels) else f"part {self.number}, row {row}"


@dataclass
class File:
    """`rows` gives each line to send and where it is from; None in its place: it is too long."""

    header: bytes
    rows: Callable[[], Iterator[tuple[str, bytes | None]]]
    whole: Callable[[], bool]  # after all rows were read: whether the end of the file was there

    def parts(self, most_bytes: int = PART_BYTES, most_rows: int = PART_ROWS) -> Iterator[Part]:
        """Each but the last is as large as it may be; every one begins with the header of the file."""
        part = self._part(1)
        start = len(part.labels)
        for label, line in self.rows():
            if line is None or len(self.header) + len(line) > most_bytes:
                part.refused[label] = f"is longer than {most_bytes} bytes"
                continue
            if len(part.body) + len(line) > most_bytes or len(part.labels) - start >= most_rows:
                yield part
                part = self._part(part.number + 1)
            part.body += line
            part.labels.append(label)
        if len(part.labels) > start or part.refused:
            yield part

    def _part(self, number: int) -> Part:
        return Part(number, bytearray(self.header), ["the header"] if self.header else [])


def read(path: Path) -> File:
    """Recognise the format of a file.

    Raises:
        Trouble: it is neither JSON lines nor a whole document of format 2.0.
    """
    with path.open("rb") as file:
        first = _Lines(file).read()
    value = _loads(first or b"")
    if isinstance(value, dict) and "kind" in value:
        return _lines(path, first or b"", value)
    if path.suffix.lower() in LINES_SUFFIXES:
        return _lines(path, b"", {})
    return _document(path)


# JSON lines.


class _Lines:
    """Lines of a file, counted, without the mark of UTF-8 that may come first. Those too long are passed over."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._first = True
        self.number = 0

    def read(self) -> bytes | None:
        """The next line with its end; empty: there is none; None: it is longer than a part."""
        line = self._file.readline(PART_BYTES + 1)
        if self._first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._first = False
        self.number += 1
        if len(line) <= PART_BYTES:
            return line if line.endswith(b"\n") or not line else line + b"\n"
        while line and not line.endswith(b"\n"):
            line = self._file.readline(BLOCK)
        return None


def _lines(path: Path, first: bytes, value: dict[str, Any]) -> File:
    has_header = value.get("kind") == Mark.HEADER
    ended = not has_header

    def rows() -> Iterator[tuple[str, bytes | None]]:
        nonlocal ended
        with path.open("rb") as file:
            lines = _Lines(file)
            while (line := lines.read()) != b"":
                if (has_header and lines.number == 1) or (line is not None and not line.strip()):
                    continue
                if line is not None and len(line) < BLOCK and (end := _loads(line, Mark.END.value)):
                    ended = ended or end.get("next_cursor") is None
                    continue
                yield f"line {lines.number}", line

    return File(first if has_header else b"", rows, lambda: ended)


def _loads(line: bytes, kind: str = "") -> Any:
    """The value of a line, of one kind if it is given; None for others."""
    if kind and f'"{kind}"'.encode() not in line:
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if not kind or (isinstance(value, dict) and value.get("kind") == kind) else None


# A document.


def _document(path: Path) -> File:
    told: dict[str, Any] = {}
    for key, _number, value in _walk(path):  # all of it, before anything is sent
        if key not in LISTS.values():
            told[key] = value
        else:
            told.setdefault(key, None)
    if not any(name in told for name in LISTS.values()):
        raise Trouble(f"{path} is neither JSON lines nor an export of the local tool: it has no memories.")
    if (told.get("format_version") or told.get("export_version")) not in LOCAL_VERSIONS:
        raise Trouble(f"{path} is in a format that is not known: its version is not {' or '.join(LOCAL_VERSIONS)}.")
    header = {"kind": Mark.HEADER, "format_version": VERSION, "exported_at": told.get("export_date")}

    def rows() -> Iterator[tuple[str, bytes | None]]:
        for kind, name in LISTS.items():
            for key, number, row in _walk(path):
                if key == name and number:
                    yield f"{name}, number {number}", _dumps({**row, "kind": kind} if isinstance(row, dict) else row)

    return File(_dumps(header), rows, lambda: True)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _walk(path: Path) -> Iterator[tuple[str, int, Any]]:
    """The members of the object in a file. Those that hold rows give each row, by number, after a number 0.

    Raises:
        Trouble: this is no JSON object.
    """
    # What is not UTF-8 is carried along, and makes its row unreadable for the server.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        scanner = _Scanner(path, file)
        scanner.expect("{")
        while scanner.peek() != "}":
            key = scanner.value()
            scanner.expect(":")
            if key in LISTS.values() and scanner.peek() == "[":
                yield key, 0, None
                scanner.expect("[")
                number = 0
                while scanner.peek() != "]":
                    number += 1
                    yield key, number, scanner.value()
                    if scanner.peek() != "]":
                        scanner.expect(",")
                scanner.expect("]")
            else:
                yield str(key), 0, scanner.value()
            if scanner.peek() != "}":
                scanner.expect(",")
        scanner.expect("}")
        if scanner.peek():
            raise scanner.trouble()


class _Scanner:
    """JSON from a file, a value at a time."""

    def __init__(self, path: Path, file: TextIOWrapper) -> None:
        self._path = path
        self._file = file
        self._text = ""
        self._at = 0
        self._gone = 0  # characters before the text
        self._decoder = json.JSONDecoder(strict=False)

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise self.trouble()
        self._at += 1

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise self.trouble() from None
            except json.JSONDecodeError:
                end = len(self._text)  # it may go on
            else:
                length = end - self._at
                if end < len(self._text) or not self._more():  # a number may go on
                    self._at += length
                    return value
                continue
            if end - self._at > VALUE_MOST or not self._more():
                raise self.trouble()

    def trouble(self) -> Trouble:
        return Trouble(f"{self._path} is not JSON: see character {self._gone + self._at + 1}.")

    def _more(self) -> bool:
        """Read on, twice as much as is left: a long value is decoded a few times only."""
        block = self._file.read(max(BLOCK, len(self._text) - self._at))
        self._gone += self._at
        self._text, self._at = self._text[self._at :] + block, 0
        return bool(block)


_SPACE = re.compile(r"[ \t\r\n]*")
