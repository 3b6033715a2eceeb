"""What goes wrong in the local cloud, as sentences for a person: what happened, why, what to do."""

from __future__ import annotations

import errno


class CloudError(Exception):
    """The message is one clear sentence or two; it is shown as it is, without a traceback."""


class AlreadyExists(CloudError):
    """The name is taken (the vendors' 409)."""


class NotFound(CloudError):
    """What was named is not there (the vendors' 404)."""


class Denied(CloudError):
    """An identity lacks a right that the vendor checks (the vendors' 403)."""


class PortTaken(CloudError):
    """A port that others have written down is held by another program."""


def disk_sentence(error: OSError, doing: str) -> str:
    """Say in one sentence why the disk refused, and the way out."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: {doing} failed{where}. Free some space and run the command again."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return (
            f"The folder cannot be written: {doing} failed{where}. "
            "Give your user the right to write there, or name another folder with --root."
        )
    return f"{doing[:1].upper()}{doing[1:]} failed{where}: {error.strerror or error}."
