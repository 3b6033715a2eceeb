"""Opens an account, revokes a key, or looks at jobs, in the virtual environment. Reads one JSON object from standard
input.

    {"action": "open", "plan": "free", "settings": {"DATABASE_URL": "...", ...}}
    {"action": "revoke", "key": "mg_...", "settings": {...}}
    {"action": "jobs", "state": "dead", "settings": {...}}
    {"action": "revive", "job": "...", "settings": {...}}

Prints {"said": text} or {"trouble": text}. Secrets come by standard input: argv and environment can be read by others.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from core.problems import Problem
from core.settings import SettingsError
from declarations import ProvisioningSettings
from provisioning import service


async def handle(asked: dict[str, Any]) -> str:
    """Do what is asked; returns what to tell. Raises Problem or SettingsError with the reason."""
    settings = ProvisioningSettings.load(asked["settings"])
    if asked["action"] == "revoke":
        return str(await service.revoke_key(settings, asked["key"]))
    if asked["action"] == "jobs":
        return await service.list_jobs(settings, asked["state"])
    if asked["action"] == "revive":
        return await service.revive_job(settings, asked["job"])
    return await service.open_account(settings, asked["plan"])


def main() -> int:
    try:
        print(json.dumps({"said": asyncio.run(handle(json.load(sys.stdin)))}))
    except (Problem, SettingsError, OSError) as error:
        print(json.dumps({"trouble": str(error)}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
