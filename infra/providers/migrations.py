"""The control plane's migrations: numbered SQL files. Read by the program (digest) and the provider (text)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "functions" / "migrations" / "postgres"


class MigrationError(Exception):
    """The folder of migrations is not a gapless list of NNNN_name.sql files."""


@dataclass(frozen=True)
class Migration:
    """One file: its number (from 1), its name without the number, its text, and the text's SHA-256 (hex)."""

    version: int
    name: str
    sql: str
    checksum: str


def load(folder: Path = FOLDER) -> list[Migration]:
    """All migrations in order.

    Raises:
        MigrationError: a file is misnamed, or a number is missing or taken twice.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named NNNN_name.sql.")
        data = path.read_bytes()
        found.append(
            Migration(
                version=int(match[1]), name=match[2], sql=data.decode(), checksum=hashlib.sha256(data).hexdigest()
            )
        )
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(
            f"Migrations must be numbered 0001, 0002, ... once each; found {[m.version for m in found]}."
        )
    return found


def digest(migrations: list[Migration] | None = None) -> str:
    """One hash over all migrations: it changes when one is added or edited."""
    migrations = load() if migrations is None else migrations
    return hashlib.sha256("\n".join(f"{m.version} {m.checksum}" for m in migrations).encode()).hexdigest()
