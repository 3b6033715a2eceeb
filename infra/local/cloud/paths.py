"""Where everything of one local cloud lies. ROOT is 0700 and belongs to the user who runs the daemon.

One folder is outside ROOT, and only when the daemon runs as root: PostgreSQL refuses root and runs as `nobody`, who
cannot pass ROOT. `outside(root)` names it, so that cleaning can remove it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from infra.local.cloud.errors import CloudError, disk_sentence

OUTSIDE_PARENT = Path("/var/tmp")  # noqa: S108  owned and checked below; survives a restart of the machine, unlike /tmp


class Paths:
    """The folders and files of one local cloud; nothing is created until `make()`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.cloud = self.root / "cloud"
        self.address = self.root / "cloud.json"
        self.resources = self.cloud / "resources.json"
        self.lock = self.cloud / "daemon.lock"
        self.logs = self.cloud / "logs"
        self.buckets = self.cloud / "buckets"
        self.functions = self.cloud / "functions"
        self.venvs = self.cloud / "venvs"
        self.workers = self.cloud / "worker"
        self.sqld = self.cloud / "sqld"
        self.postgres = self.cloud / "postgres"
        self.supabase = self.cloud / "supabase"
        self.mail = self.cloud / "mail"
        self.stripe = self.cloud / "stripe"
        self.parts = self.root / "parts" / "node_modules"

    def make(self) -> None:
        """Create the folders, 0700.

        Raises:
            CloudError: the disk is full or read-only, or a path is taken by a file.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            for folder in (self.cloud, self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CloudError(disk_sentence(error, "making the folders of the local cloud")) from None

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def outside(root: Path) -> Path:
    """The folder outside ROOT that a daemon run as root uses; it may not exist. Derived from ROOT's path alone."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return OUTSIDE_PARENT / f"memorygraph-cloud-{digest}"


def make_outside(root: Path) -> Path:
    """Create `outside(root)` so that another user can pass through it but not list it.

    Raises:
        CloudError: the path is taken by something that this user did not make.
    """
    folder = outside(root)
    try:
        folder.mkdir(mode=0o711, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise CloudError(f"{folder} is not ours: another user made it. Remove it, then run the command again.")
        folder.chmod(0o711)
    except OSError as error:
        raise CloudError(disk_sentence(error, "making a folder that PostgreSQL's user can reach")) from None
    return folder


def remove_outside(root: Path) -> None:
    """Remove `outside(root)` and all in it; nothing happens when it is not there or is not ours."""
    folder = outside(root)
    try:
        ours = folder.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return
    if ours:
        shutil.rmtree(folder, ignore_errors=True)
