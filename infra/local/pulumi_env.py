"""The environment in which a plain `pulumi` works on this local cloud: LOCAL_ROOT/pulumi.env.

set -a; . .local/pulumi.env; set +a; pulumi preview
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from infra.local import processes
from infra.local.places import Places, write_private
from infra.local.sdk_driver import PACKAGES
from infra.local.stack import STACK


def values(places: Places) -> dict[str, str]:
    """Variables by name. Those that attach to the running processes are left out while these do not run."""
    found = {
        "PULUMI_BACKEND_URL": places.state.as_uri(),
        "PULUMI_STACK": STACK,
        "PULUMI_HOME": str(places.home),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(places.passphrase),
        "PULUMI_OPTION_CONFIG_FILE": str(places.stack_config),
        # Everything is attached or in Pulumi.yaml; nothing is to be looked for on the network.
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
    }
    cloud, host = processes.living(places, processes.CLOUD), processes.living(places, processes.HOST)
    if cloud is not None:
        port = cloud.values["provider_port"]
        found["PULUMI_DEBUG_PROVIDERS"] = ",".join(f"{package}:{port}" for package in PACKAGES)
    if host is not None:
        found["PULUMI_DEBUG_LANGUAGES"] = f"python:{host.values['port']}"
    return found


def write(places: Places, engine: Path | None) -> None:
    """Write the file; a built engine is put on PATH by it."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in values(places).items()]
    if engine is not None and shutil.which("pulumi") != str(engine):
        lines.append(f'PATH={shlex.quote(str(engine.parent))}:"$PATH"')
    head = (
        "# For a plain `pulumi` on this local cloud: set -a; . THIS_FILE; set +a. Written by `make up` at each start."
    )
    write_private(places.pulumi_env, "\n".join([head, *lines, ""]))
