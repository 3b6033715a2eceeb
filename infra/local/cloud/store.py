"""What the local cloud holds, in one file that is always whole: resources, ports, and the vendors' own data.

`resources.json` (0600) is written to a neighbour, synced and renamed over the old one, so that neither a kill nor a
full disk leaves half a file. It holds secret values in the clear, as the real vendors' stores do behind their own
doors: that is why ROOT is 0700. One process writes it (the daemon holds a lock); threads are told apart by a lock
here.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.provider.wire import Json, plain

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """One resource. `inputs` and `outputs` are as the engine sent them, with its marks of secrets and archives.

    `data` is the local cloud's own: facts that no output shows (a serial number, a folder). `deletion` is the
    servicer's: whether one was refused, or one more is to come.
    """

    type: str
    id: str
    urn: str
    inputs: Json
    outputs: Json
    data: Json = field(default_factory=dict)
    deletion: str = ""

    @property
    def args(self) -> Json:
        """The inputs with every mark taken off."""
        return _object(plain(self.inputs))

    @property
    def state(self) -> Json:
        """The outputs with every mark taken off."""
        return _object(plain(self.outputs))


def _object(value: Any) -> Json:
    assert isinstance(value, dict)
    return value


class Store:
    """Resources by type and id, and named sections (`ports`, `supabase`, `turso`). Reads give copies."""

    def __init__(self, path: Path) -> None:
        """Load what is there.

        Raises:
            CloudError: the file cannot be read or was written by a newer version.
        """
        self._path = path
        self._lock = threading.RLock()
        self._records: dict[tuple[str, str], Record] = {}
        self._sections: dict[str, Json] = {}
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return
        except OSError as error:
            raise CloudError(disk_sentence(error, "reading what the local cloud holds")) from None
        except ValueError:
            raise CloudError(f"{path} is damaged. `make clean` starts anew; what it held is lost.") from None
        if content.get("format") != FORMAT:
            raise CloudError(f"{path} was written by another version. `make clean` starts anew; what it held is lost.")
        for item in content["resources"]:
            record = Record(**item)
            self._records[record.type, record.id] = record
        self._sections = content["sections"]

    def get(self, type_: str, id_: str) -> Record | None:
        with self._lock:
            return self._records.get((type_, id_))

    def of(self, type_: str) -> list[Record]:
        """All resources of one type, in the order in which they were made."""
        with self._lock:
            return [record for record in self._records.values() if record.type == type_]

    def count(self) -> int:
        with self._lock:
            return len(self._records)

    def put(self, record: Record) -> None:
        """Add or replace.

        Raises:
            CloudError: it could not be written; then nothing has changed.
        """
        with self._change():
            self._records[record.type, record.id] = record

    def remove(self, type_: str, id_: str) -> None:
        with self._change():
            self._records.pop((type_, id_), None)

    def section(self, name: str) -> Json:
        with self._lock:
            return deepcopy(self._sections.get(name, {}))

    def edit(self, name: str, change: Callable[[Json], None]) -> Json:
        """Change one section as one step and give a copy of the result; written only if it differs."""
        with self._lock:
            section = self.section(name)
            change(section)
            if section != self._sections.get(name, {}):
                with self._change():
                    self._sections[name] = section
            return deepcopy(section)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            before = dict(self._records), dict(self._sections)
            try:
                yield
                self._write()
            except BaseException:
                self._records, self._sections = before
                raise

    def _write(self) -> None:
        content = {
            "format": FORMAT,
            "sections": self._sections,
            "resources": [asdict(record) for record in self._records.values()],
        }
        write_whole(self._path, json.dumps(content, indent=1), "keeping what the local cloud holds")


def write_whole(path: Path, text: str, doing: str) -> None:
    """Write a file (0600) so that a reader finds the old or the new one, never a part.

    Raises:
        CloudError: in words for a person.
    """
    neighbour = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:  # noqa: PTH123  it takes a descriptor, made with the right mode
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        neighbour.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            neighbour.unlink()
        raise CloudError(disk_sentence(error, doing)) from None
