"""Restores backups, for the operator; docs/backups.md says when to do what. From the folder `functions`:

    pulumi stack output restore --show-secrets --json |
        GOOGLE_ACCESS_TOKEN="$(gcloud auth print-access-token)" python -m provisioning.restore ACTION

    list [--workspace ID]                          which backups there are
    workspace --workspace ID [--until 2026-11-28]  over one workspace
    control [--manifest NAME] [--stores all|postgres|none]
                                                   the control plane, into an empty database that `pulumi up` made

Settings come by standard input, as JSON: argv can be read by others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence

from core.problems import Problem
from core.settings import SettingsError
from provisioning.backups.command import RestoreSettings, run


def main(words: Sequence[str], given: Mapping[str, str]) -> int:
    """Do what is asked with the settings that were given; the exit code."""
    parser = argparse.ArgumentParser(prog="provisioning.restore", description="Restores backups: docs/backups.md.")
    parser.add_argument("action", choices=("list", "workspace", "control"))
    for name in ("workspace", "until", "manifest", "stores"):
        parser.add_argument(f"--{name}", default="")
    asked = parser.parse_args(words)
    try:
        settings = RestoreSettings.load(given)
        said = asyncio.run(run(settings, **vars(asked)))
    except (Problem, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    token = os.environ.get("GOOGLE_ACCESS_TOKEN", "")
    sys.exit(main(sys.argv[1:], {"ACCESS_TOKEN": token, **json.load(sys.stdin)}))
