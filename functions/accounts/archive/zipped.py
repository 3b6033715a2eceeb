"""A ZIP archive that is sent while it is made: its pieces are taken out as they are written."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO

_LEVEL = 6
_READABLE = 0o644 << 16


class _Pipe:
    """What `zipfile` writes to. It cannot be sought, so sizes follow the contents."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes, /) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class Zipped:
    """Used once: files in order, then `end`. `take` gives what was made since the last time.

    Args:
        at: the time of every file.
    """

    def __init__(self, at: datetime) -> None:
        self._pipe = _Pipe()
        self._at = at.timetuple()[:6]
        self._zip = zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be written piece by piece."""
        info = zipfile.ZipInfo(name, self._at)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = _READABLE
        with self._zip.open(info, "w", force_zip64=True) as member:
            yield member

    def take(self) -> bytes:
        return self._pipe.take()

    def end(self) -> bytes:
        self._zip.close()
        return self.take()
