"""The Pulumi engine: `pulumi` on PATH, else the one that `make engine` builds once from its Go module (go.py).

The build takes about six minutes on two cores.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from infra.local.go import Program
from infra.local.places import Places
from infra.local.progress import Progress

OLDEST = (3, 210, 0)
"""An older `pulumi` on PATH is passed over: options by environment (PULUMI_OPTION_*) came in November 2025."""

HINT = (
    "`make engine` builds it once (about 6 minutes on 2 cores), or install Pulumi: https://www.pulumi.com/docs/install/"
)


def find(places: Places) -> Path | None:
    """The engine that commands use, or None."""
    on_path = shutil.which("pulumi")
    if on_path and (version(on_path) or (0, 0, 0)) >= OLDEST:
        return Path(on_path)
    built = cached(places)
    return built if os.access(built, os.X_OK) else None


def version(command: str) -> tuple[int, int, int] | None:
    """The version that `pulumi version` tells; None when it cannot be run."""
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run([command, "version"], capture_output=True, text=True, timeout=30, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match and done.returncode == 0 else None


PROGRAM = Program(
    name="pulumi",
    folder="engine",
    module="github.com/pulumi/pulumi/pkg/v3",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    # Without it the Automation API, and plugins that ask, take the engine for an unknown one.
    version_variable="github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    what="the Pulumi engine",
    takes="about 6 minutes on 2 cores",
    disk_mb=4_000,  # module cache 1.6 GB, build cache 1.6 GB, and the result
    otherwise="install Pulumi: https://www.pulumi.com/docs/install/",
    works=lambda path: version(str(path)) is not None,
)


def cached(places: Places) -> Path:
    """Where the built engine of this checkout's pins is, or would be."""
    return PROGRAM.cached(places)


def build(places: Places, progress: Progress) -> Path:
    """Build the engine unless it is in the cache. Raises Trouble."""
    return PROGRAM.build(places, progress)
