"""What a person is told when a command of the local cloud cannot go on.

One exception for everything that is expected to go wrong, and one place (`told`) that turns whatever was raised into a
sentence and an exit code. Expected means: this machine, this network, this disk, a process of an earlier run. A bug is
told too, in one line, and its traceback goes to a file: nobody who runs `make up` has to read one.
"""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from pathlib import Path

EXIT_TROUBLE = 1
EXIT_INTERRUPTED = 130  # what a shell gives for Ctrl-C

_CAUSES = {
    errno.ENOSPC: ("the disk is full", "Free some space"),
    errno.EDQUOT: ("your disk quota is used up", "Free some space"),
    errno.EROFS: ("the file system is read-only", "Work in a folder that can be written, or set LOCAL_ROOT to one"),
    errno.EACCES: ("permission is denied", "Run as the owner of the folder, or set LOCAL_ROOT to one of your own"),
    errno.EPERM: ("permission is denied", "Run as the owner of the folder, or set LOCAL_ROOT to one of your own"),
    errno.EMFILE: ("too many files are open", "Raise the limit (ulimit -n)"),
    errno.ENFILE: ("too many files are open on this machine", "Close some programs"),
    errno.ENOMEM: ("there is not enough memory", "Close some programs"),
    errno.EAGAIN: ("no further process can be started", "Close some programs, or raise the limit (ulimit -u)"),
}


class Trouble(Exception):
    """A command cannot go on. The message says what happened, why, and what to do."""


class Interrupted(Exception):
    """Ctrl-C, or the signal that stands for it. The message says what state things are in."""


def explain(error: OSError) -> str:
    """One sentence for an error of the operating system that nobody handled nearer."""
    cause, remedy = _CAUSES.get(error.errno or 0, (error.strerror or str(error), "Mend that"))
    where = f" ({error.filename})" if error.filename else ""
    return f"Cannot go on: {cause}{where}. {remedy}, then run the same command again; it carries on where it stopped."


def told(error: BaseException) -> tuple[str, int]:
    """The sentence and the exit code for anything that a command raised."""
    if isinstance(error, Trouble):
        return str(error), EXIT_TROUBLE
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return str(error) or "Interrupted. Run the same command again to carry on.", EXIT_INTERRUPTED
    if isinstance(error, OSError):
        return explain(error), EXIT_TROUBLE
    return f"This is a bug: {type(error).__name__}: {error}{_recorded(error)}", EXIT_TROUBLE


def _recorded(error: BaseException) -> str:
    try:
        handle, name = tempfile.mkstemp(prefix="memorygraph-cloud-bug-", suffix=".txt")
        with os.fdopen(handle, "w") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return ". Please report it."
    return f". Please report it with {Path(name)}, which holds the details."
