"""Runs provisioning/restore.py against the local cloud, in the virtual environment, as the identity of `provisioning`.

An operator of the real cloud is known to Google by a token of gcloud's. Here it is made of what the local cloud keeps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from declarations import PROVISIONING
from infra.local.cloud.cloud import PROJECT, Cloud
from infra.local.cloud.store import Store
from infra.local.cloud.vendors.google.identities import Identities
from provisioning import restore


def token(folder: Path) -> str:
    """An access token of the local cloud in this folder."""
    kept = cast(Cloud, SimpleNamespace(store=Store(folder / "resources.json")))
    return Identities(kept).access_token(f"{PROVISIONING.name}-run@{PROJECT}.iam.gserviceaccount.com")


def main() -> int:
    folder, *words = sys.argv[1:]
    return restore.main(words, {"ACCESS_TOKEN": token(Path(folder)), **json.load(sys.stdin)})


if __name__ == "__main__":
    sys.exit(main())
