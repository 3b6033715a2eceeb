"""`make export FILE=...`: everything of one workspace into a file, which appears only when it is whole.

A name that ends in .json gives format 2.0 of the local tool, in one request; others give JSON lines, in as many as it
takes. Until then what arrived is in FILE.part, and how far it is good in FILE.part.state.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from infra.local.places import Places, write_private
from infra.local.progress import Progress
from infra.local.transfer import api
from infra.local.transfer.api import Api, Broken
from infra.local.trouble import Interrupted, Trouble
from memories.transfer.formats import Format, Mark

STEP = 5_000
"""Things asked for at once: what a broken connection costs."""
BLOCK = 1 << 16
TAIL = 200


def fetch(places: Places, progress: Progress, file: str) -> None:
    """Fetch everything of the workspace that the environment names.

    Raises:
        Trouble: it cannot go on.
        Interrupted: by Ctrl-C.
    """
    if not file:
        raise Trouble("Say where to: `make export FILE=memories.jsonl` (or .json, for the local tool).")
    fetch_from(api.of(places, progress), progress, Path(file))


def fetch_from(target: Api, progress: Progress, path: Path, step: int = STEP) -> None:
    """See `fetch`."""
    part = path.with_name(f"{path.name}.part")
    try:
        if path.suffix.lower() == ".json":
            target.patiently(lambda: _document(target, part))
        else:
            _Lines(target, progress, part, step).run()
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted: what arrived is kept in {part}. Run the same command to carry on.") from None
    part.replace(path)
    _state(part).unlink(missing_ok=True)
    print(f"{path}: {path.stat().st_size} bytes")


class _Lines:
    """JSON lines, request by request; after each one the file so far is known to be good."""

    def __init__(self, target: Api, progress: Progress, part: Path, step: int) -> None:
        self._target = target
        self._progress = progress
        self._part = part
        self._step = step
        self._cursor: str | None = None
        self._size = 0

    def run(self) -> None:
        self._resume()
        with _private(self._part, "r+b") as file:
            while True:
                self._target.patiently(lambda: self._request(file))
                if self._cursor is None:
                    return
                self._save()
                self._progress.line(f"{self._size} bytes")

    def _resume(self) -> None:
        try:
            state = json.loads(_state(self._part).read_text())
            if state["url"] == self._target.url and self._part.stat().st_size >= state["size"]:
                self._cursor, self._size = state["cursor"], state["size"]
                self._progress.line(f"carrying on after {self._size} bytes")
        except (OSError, ValueError, KeyError, TypeError):
            pass  # from the beginning

    def _save(self) -> None:
        state = {"url": self._target.url, "cursor": self._cursor, "size": self._size}
        write_private(_state(self._part), json.dumps(state))

    def _request(self, file: BinaryIO) -> None:
        """One request, from where the file is good; what breaks off is cut away by the next."""
        asked = {"format": Format.JSONL.value, "limit": self._step}
        if self._cursor is not None:
            asked["cursor"] = self._cursor
        file.seek(self._size)
        file.truncate()
        begun, kept = self._size > 0, b""
        with self._target.opened("GET", f"/export?{urlencode(asked)}") as response:
            while block := response.read(BLOCK):
                *lines, kept = (kept + block).split(b"\n")
                for line in lines:
                    mark = _mark(line)
                    if mark and mark["kind"] == Mark.END:
                        self._end(file, line, mark["next_cursor"])
                        return
                    if not (mark and begun):
                        file.write(line + b"\n")
        raise Broken("The export broke off.")

    def _end(self, file: BinaryIO, line: bytes, cursor: str | None) -> None:
        if cursor is None:
            file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
        self._size, self._cursor = file.tell(), cursor


def _document(target: Api, part: Path) -> None:
    tail = b""
    with _private(part, "wb") as file, target.opened("GET", f"/export?format={Format.JSON.value}") as response:
        while block := response.read(BLOCK):
            file.write(block)
            tail = (tail + block)[-TAIL:]
        file.flush()
        os.fsync(file.fileno())
    if not tail.endswith(b"}") or b'"next_cursor":' not in tail:
        raise Broken("The export broke off.")
    if not tail.endswith(b'"next_cursor":null}'):
        raise Trouble(
            "This is too much for one document of format 2.0. Export JSON lines: `make export FILE=...jsonl`."
        )


def _mark(line: bytes) -> Any:
    """A header or an end; None for other lines."""
    if not line.startswith((b'{"kind":"header"', b'{"kind":"end"')):
        return None
    return json.loads(line)


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.state")


def _private(path: Path, mode: str) -> Any:
    """Open a file that only its owner may read; it need not be there."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), mode)
