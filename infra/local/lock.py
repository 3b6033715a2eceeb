"""One command at a time: a lock on LOCAL_ROOT, which says who holds it.

The kernel drops the lock when its holder dies, however it dies, so there is no stale lock to clean up.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.places import make_private


@contextmanager
def hold(path: Path, command: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at `path`; wait for another holder, after saying who it is."""
    make_private(path.parent)
    handle = _acquire(path, say)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"command": command, "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(handle)  # releases the lock; the file stays, for a waiter may have it open


def holder(path: Path) -> str | None:
    """`make COMMAND (process N)` when someone holds the lock, else None. Never waits."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _named(path)
    finally:
        os.close(handle)


def _named(path: Path) -> str:
    try:
        record = json.loads(path.read_text())
        return f"`make {record['command']}` (process {record['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another command"  # it has the lock and has not yet written its name


def _acquire(path: Path, say: Callable[[str], None]) -> int:
    told = False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    time.sleep(0.05)  # lets a holder that just started write its name
                    say(f"Waiting for {_named(path)} to finish. Ctrl-C gives up waiting and leaves it alone.")
                    told = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        make_private(path.parent)  # `make clean` took the folder away while we waited


def _is_still(path: Path, handle: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
