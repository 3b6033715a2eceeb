"""Everything a command needs, installed when it is missing or old: checks, virtual environment, parts."""

from __future__ import annotations

import os

from infra.local import lock, machine, packages, parts
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble


def install(places: Places, progress: Progress, *, servers: bool = True, client: bool = False) -> bool:
    """Bring the checkout and LOCAL_ROOT up to date; False when there was nothing to do.

    `servers`: the npm parts too; `client`: the environment of the real client, for the tests. Raises Trouble.
    """
    whole = packages.current(places)
    machine.check(places.root, installing=not whole)
    machine.check_writable(places.root)
    changed = False
    if not whole:
        if not os.access(places.repo, os.W_OK):
            raise Trouble(
                f"{places.repo} cannot be written, and the Python packages are installed in it (.venv). "
                "Work in a copy of the repository that is yours."
            )
        # Two environments (LOCAL_ROOT) share the virtual environment, so their own locks are not enough here.
        with lock.hold(places.default.root / "install.lock", "install", progress.say):
            changed = packages.install(places, progress)
    if servers:
        changed = parts.install(places, progress) or changed
    if client:
        changed = packages.install_client(places, progress) or changed
    return changed
