"""Everything a command needs, installed when it is missing or old: checks, virtual environment, parts."""

from __future__ import annotations

from infra.local import lock, machine, packages, parts
from infra.local.places import Places
from infra.local.progress import Progress


def install(places: Places, progress: Progress, *, servers: bool = True, client: bool = False) -> bool:
    """Bring the checkout and LOCAL_ROOT up to date; False when there was nothing to do.

    `servers`: the npm parts too; `client`: the environment of the real client, for the tests. Raises Trouble.
    """
    whole = packages.current(places)
    machine.check_writable(places.root)
    machine.check(places.root, installing=not whole)
    changed = False
    if not whole:
        # Two environments (LOCAL_ROOT) share the virtual environment, so their own locks are not enough here.
        with lock.hold(places.default.root / "install.lock", "install", progress.say):
            changed = packages.install(places, progress)
    if servers:
        changed = parts.install(places, progress) or changed
    if client:
        changed = packages.install_client(places, progress) or changed
    return changed
