"""Which program listens on a port, as far as /proc tells."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Collection
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = "0A"


def named(port: int) -> str:
    """Such as `nginx (process 4711)`; for another user's program only that user, for the rest is not ours to see."""
    sockets = _listening(port)
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has(process, sockets):
            with contextlib.suppress(OSError):  # it ended just now
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    for uid in sockets.values():
        with contextlib.suppress(KeyError):
            return f"a program of user {pwd.getpwuid(uid).pw_name} (`sudo ss -ltnp sport = :{port}` names it)"
    return "another program"


def _listening(port: int) -> dict[str, int]:
    """The sockets that listen there: `socket:[inode]` -> user id."""
    found = {}
    for table in TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found[f"socket:[{fields[9]}]"] = int(fields[7])
    return found


def _has(process: Path, sockets: Collection[str]) -> bool:
    try:
        return any(str(link.readlink()) in sockets for link in (process / "fd").iterdir())
    except OSError:
        return False
