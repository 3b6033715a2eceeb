"""`make restore`: lists backups, or restores one workspace, by the operator's own command (provisioning/restore.py)."""

from __future__ import annotations

import json
from typing import Any

from infra.local import control, drivers, processes, tools
from infra.local.install import install
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

OUTPUT = "restore"


def restore(places: Places, progress: Progress, workspace: str, until: str) -> None:
    """Restore a workspace; without one: list the backups of everything."""
    install(places, progress, servers=False)
    control.check_ports(control.running(places))
    settings: Any = drivers.choose(places, progress).outputs().get(OUTPUT)
    if not isinstance(settings, dict):
        raise Trouble("The stack does not say yet where backups are: `make up` has not finished. Run it again.")
    words = ["workspace", "--workspace", workspace, "--until", until] if workspace else ["list"]
    done = tools.run(
        [str(places.python), "-m", "infra.local.restoring", str(places.cloud), *words],
        cwd=places.repo,
        env=processes.clean_environment(),
        stdin=json.dumps(settings),
        separate=True,
    )
    if done.code != 0:
        raise Trouble(f"Nothing was restored (exit code {done.code}); see above.")
    print(done.output.strip())
